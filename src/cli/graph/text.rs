//! The graph for a terminal: chains of stages, each down to its end or to where it joins an earlier one.

use std::fmt::Write as _;

use super::model::{Fail, Graph, Node, Pass, State, budget};

/// The characters that are drawn with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pen {
    stage: char,
    line: char,
    arrow: char,
    back: &'static str,
    end: char,
}

impl Pen {
    /// For terminals that show Unicode.
    pub(super) const UNICODE: Self = Self { stage: '●', line: '│', arrow: '▼', back: "┄▶", end: '■' };
    /// For all others.
    pub(super) const ASCII: Self = Self { stage: '*', line: '|', arrow: 'v', back: "..>", end: '#' };
}

/// Draws the graph.
pub(super) fn render(graph: &Graph, pen: Pen) -> String {
    let mut text = format!("pipeline {}\n", graph.name);
    let mut drawn = vec![false; graph.nodes.len()];
    for chain in chains(graph) {
        text.push('\n');
        let mut at = Pass::To(chain);
        while let Pass::To(number) = at {
            let Some(node) = graph.nodes.get(number) else { break };
            let seen = drawn.get_mut(number).is_none_or(|seen| std::mem::replace(seen, true));
            if seen {
                add(&mut text, format_args!("{} joins {}", pen.end, node.name));
                break;
            }
            stage(&mut text, graph, node, pen);
            at = node.pass;
        }
        if at == Pass::Done {
            add(&mut text, format_args!("{} done", pen.end));
        }
    }
    text
}

/// Where chains begin: the first stage, then every stage that no pass leads to, in the order of the file.
fn chains(graph: &Graph) -> Vec<usize> {
    let mut led_to = vec![false; graph.nodes.len()];
    for node in &graph.nodes {
        if let Pass::To(at) = node.pass
            && let Some(led) = led_to.get_mut(at)
        {
            *led = true;
        }
    }
    let others = led_to.iter().enumerate().skip(1).filter(|(_, led)| !**led).map(|(at, _)| at);
    [0].into_iter().chain(others).collect()
}

fn stage(text: &mut String, graph: &Graph, node: &Node, pen: Pen) {
    let state = node.state.map(|state| format!("  [{}]", words(state))).unwrap_or_default();
    add(text, format_args!("{} {}: {}{state}", pen.stage, node.name, node.about()));
    let fail = match &node.fail {
        Fail::Rollback { to, charge, allowed } => {
            let to = graph.nodes.get(*to).map_or("", |node| node.name.as_str());
            format!("{to}, charged to {}", budget(charge, *allowed))
        }
        Fail::Hold => "hold".to_owned(),
        Fail::Failed => "failed".to_owned(),
    };
    add(text, format_args!("{}   fail {} {fail}", pen.line, pen.back));
    add(text, format_args!("{}", pen.arrow));
}

fn words(state: State) -> String {
    state.as_str().replace('-', " ")
}

fn add(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String takes every text");
}
