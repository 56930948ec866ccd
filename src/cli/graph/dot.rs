//! The graph for Graphviz (<https://graphviz.org/doc/info/lang.html>).

use super::model::{Fail, Graph, Pass, budget};

/// Writes the digraph.
pub(super) fn render(graph: &Graph) -> String {
    let mut lines = vec![
        format!("digraph {} {{", quoted(&graph.name)),
        "  rankdir=TB; bgcolor=\"transparent\";".to_owned(),
        "  node [shape=box, style=rounded, fontname=\"sans-serif\"];".to_owned(),
        "  edge [fontname=\"sans-serif\", fontsize=10];".to_owned(),
    ];
    for (at, node) in graph.nodes.iter().enumerate() {
        let label = quoted(&format!("{}\n{}", node.name, node.about()));
        let state = node
            .state
            .map(|state| format!(", color=\"{}\", penwidth=3, tooltip=\"{}\"", state.colour(), state.as_str()))
            .unwrap_or_default();
        lines.push(format!("  s{at} [label={label}{state}];"));
    }
    lines.push("  done [shape=oval];".to_owned());
    if graph.nodes.iter().any(|node| matches!(node.fail, Fail::Failed)) {
        lines.push("  failed [shape=oval];".to_owned());
    }
    if graph.nodes.iter().any(|node| matches!(node.fail, Fail::Hold)) {
        lines.push("  hold [shape=oval];".to_owned());
    }
    for (at, node) in graph.nodes.iter().enumerate() {
        lines.push(match node.pass {
            Pass::To(next) => format!("  s{at} -> s{next};"),
            Pass::Done => format!("  s{at} -> done;"),
        });
        lines.push(match &node.fail {
            Fail::Rollback { to, charge, allowed } => {
                let label = quoted(&budget(charge, *allowed));
                format!("  s{at} -> s{to} [style=dashed, constraint=false, label={label}];")
            }
            Fail::Hold => format!("  s{at} -> hold [style=dashed, label=\"fail\"];"),
            Fail::Failed => format!("  s{at} -> failed [style=dashed, label=\"fail\"];"),
        });
    }
    lines.push("}".to_owned());
    lines.join("\n") + "\n"
}

/// A double-quoted string; a line end becomes a centred break.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
