//! The graph as a Mermaid flowchart (<https://mermaid.js.org/syntax/flowchart.html>). Stages have ids of their own,
//! so that no name can be one of Mermaid's words.

use super::model::{Fail, Graph, Pass, State, budget};

/// Writes the flowchart.
pub(super) fn render(graph: &Graph) -> String {
    let mut lines = vec!["flowchart TD".to_owned()];
    for (at, node) in graph.nodes.iter().enumerate() {
        let class = node.state.map(|state| format!(":::{}", class(state))).unwrap_or_default();
        lines.push(format!("  s{at}[\"<b>{}</b><br/>{}\"]{class}", label(&node.name), label(&node.about())));
    }
    lines.push("  e_done([done])".to_owned());
    if graph.nodes.iter().any(|node| matches!(node.fail, Fail::Failed)) {
        lines.push("  e_failed([failed])".to_owned());
    }
    if graph.nodes.iter().any(|node| matches!(node.fail, Fail::Hold)) {
        lines.push("  e_hold([hold])".to_owned());
    }
    for (at, node) in graph.nodes.iter().enumerate() {
        lines.push(match node.pass {
            Pass::To(next) => format!("  s{at} --> s{next}"),
            Pass::Done => format!("  s{at} --> e_done"),
        });
        lines.push(match &node.fail {
            Fail::Rollback { to, charge, allowed } => {
                format!("  s{at} -. \"{}\" .-> s{to}", label(&budget(charge, *allowed)))
            }
            Fail::Hold => format!("  s{at} -. fail .-> e_hold"),
            Fail::Failed => format!("  s{at} -. fail .-> e_failed"),
        });
    }
    for state in State::ALL.into_iter().filter(|state| graph.nodes.iter().any(|node| node.state == Some(*state))) {
        lines.push(format!("  classDef {} stroke:{},stroke-width:3px", class(state), state.colour()));
    }
    lines.join("\n") + "\n"
}

fn class(state: State) -> String {
    format!("st_{}", state.as_str().replace('-', "_"))
}

/// Text within quotes, with Mermaid's own entity codes.
fn label(text: &str) -> String {
    text.replace('#', "#35;").replace('&', "#amp;").replace('<', "#lt;").replace('>', "#gt;").replace('"', "#quot;")
}
