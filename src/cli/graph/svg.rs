//! The graph as SVG, with a layout of its own.
//!
//! Every stage has one pass, so its distance from `done` is one number, and rows by that number make every pass go
//! down exactly one row. Rollbacks run in lanes at the right, one lane for rollbacks that would cross. Colours follow
//! the page: text and lines are `currentColor`, which is set for light and dark where the file stands alone.

use std::fmt::Write as _;

use super::model::{Fail, Graph, Pass, State, budget};

/// Most stages that are drawn; a larger picture is not read by anyone.
pub(super) const STAGES_MAX: usize = 500;

/// Width of a character of the small font, in pixels, on the safe side.
const CHAR_PX: usize = 7;
const BOX_HEIGHT_PX: usize = 46;
const ROW_PX: usize = 84;
const GAP_PX: usize = 90;
const MARGIN_PX: usize = 20;
const LANE_PX: usize = 14;
/// From a box's right end to where a rollback leaves and comes in.
const CORNER_PX: usize = 14;
/// From a row to the line of its rollbacks.
const TURN_PX: usize = 12;

/// A stage's place.
#[derive(Debug, Clone, Copy)]
struct Place {
    x: usize,
    y: usize,
    row: usize,
}

/// Draws the graph; the caller has checked [`STAGES_MAX`].
pub(super) fn render(graph: &Graph) -> String {
    let width = box_width(graph);
    let places = places(graph, width);
    let rows = places.iter().map(|place| place.row).max().unwrap_or(0) + 1;
    let right = places.iter().map(|place| place.x + width).max().unwrap_or(0);
    let lanes = lanes(graph, &places);
    let lane_count = lanes.iter().flatten().max().map_or(0, |lane| lane + 1);
    let longest_budget = graph.nodes.iter().map(|node| budget_text(&node.fail).chars().count()).max().unwrap_or(0);
    let lane_from = right + GAP_PX;
    let total_width = lane_from + lane_count * LANE_PX + longest_budget * CHAR_PX + MARGIN_PX;
    let done = (places.first().map_or(MARGIN_PX, |place| place.x) + width / 2, rows * ROW_PX + MARGIN_PX);
    let total_height = done.1 + 40;

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {total_width} {total_height}\" width=\"{total_width}\" \
         height=\"{total_height}\" role=\"img\" aria-label=\"pipeline {name}\">\n<title>pipeline {name}</title>\n{STYLE}\n",
        name = xml(&graph.name)
    );
    for (at, node) in graph.nodes.iter().enumerate() {
        let Some(place) = places.get(at) else { continue };
        edges(&mut svg, graph, at, &places, width, done, lane_from, lanes.get(at).copied().flatten());
        let state = node.state.map_or("", State::as_str);
        let spoken = node.state.map(|state| format!(" ({})", state.as_str())).unwrap_or_default();
        add(
            &mut svg,
            format_args!(
                "<g class=\"stage {state}\"><title>{name}{spoken}</title><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" \
                 height=\"{BOX_HEIGHT_PX}\" rx=\"6\"/><text x=\"{middle}\" y=\"{top}\" class=\"name\">{name}{mark}</text>\
                 <text x=\"{middle}\" y=\"{bottom}\" class=\"about\">{about}</text></g>",
                name = xml(&node.name),
                mark = node.state.map(mark).unwrap_or_default(),
                about = xml(&node.about()),
                x = place.x,
                y = place.y,
                middle = place.x + width / 2,
                top = place.y + 20,
                bottom = place.y + 37,
            ),
        );
    }
    add(
        &mut svg,
        format_args!(
            "<rect class=\"end\" x=\"{}\" y=\"{}\" width=\"80\" height=\"26\" rx=\"13\"/><text x=\"{}\" y=\"{}\">done</text>",
            done.0 - 40,
            done.1,
            done.0,
            done.1 + 17
        ),
    );
    svg + "</svg>\n"
}

const STYLE: &str = "<style>\n\
    svg { color: #1f2328; font: 12px system-ui, sans-serif; text-anchor: middle; }\n\
    @media (prefers-color-scheme: dark) { svg { color: #e6edf3; } }\n\
    text { fill: currentColor; } .name { font-weight: 600; font-size: 13px; } .about, .label { font-size: 11px; }\n\
    .label { text-anchor: start; }\n\
    rect { fill: none; stroke: currentColor; } path { fill: none; stroke: currentColor; } .back { stroke-dasharray: 5 4; }\n\
    .tip { fill: currentColor; stroke: none; }\n\
    .passed rect { stroke: #2da44e; stroke-width: 3; } .failed rect { stroke: #e5534b; stroke-width: 3; }\n\
    .held rect { stroke: #c69026; stroke-width: 3; } .waiting rect { stroke: #d1711c; stroke-width: 3; } .running rect { stroke: #388bfd; stroke-width: 3; }\n\
    .stopped rect { stroke: #986ee2; stroke-width: 3; } .not-reached { opacity: 0.55; }\n\
    </style>";

/// A state in a form that does not rest on colour.
const fn mark(state: State) -> &'static str {
    match state {
        State::NotReached => "",
        State::Running => " …",
        State::Passed => " ✓",
        State::Failed => " ✗",
        State::Held => " ⏸",
        State::Waiting => " ⏳",
        State::Stopped => " ■",
    }
}

fn box_width(graph: &Graph) -> usize {
    let chars = |node: &super::model::Node| node.about().chars().count().max(node.name.chars().count() + 4);
    graph.nodes.iter().map(chars).max().unwrap_or(0) * CHAR_PX + 24
}

/// Rows by distance from `done`; within a row the order of the stages they lead to, then that of the file.
fn places(graph: &Graph, width: usize) -> Vec<Place> {
    let mut distance: Vec<Option<usize>> = vec![None; graph.nodes.len()];
    for start in 0..graph.nodes.len() {
        // Down to `done` or to a stage whose distance is known, then back up.
        let mut way = Vec::new();
        let mut at = Pass::To(start);
        let mut base = 0;
        while let Pass::To(number) = at {
            if let Some(Some(known)) = distance.get(number) {
                base = known + 1;
                break;
            }
            way.push(number);
            at = graph.nodes.get(number).map_or(Pass::Done, |node| node.pass);
        }
        for (step, number) in way.iter().rev().enumerate() {
            if let Some(slot) = distance.get_mut(*number) {
                *slot = Some(base + step);
            }
        }
    }
    let distance: Vec<usize> = distance.into_iter().map(Option::unwrap_or_default).collect();
    let longest = distance.iter().max().copied().unwrap_or(0);
    let mut columns = vec![0_usize; graph.nodes.len()];
    for row in 0..=longest {
        let mut here: Vec<usize> = (0..distance.len()).filter(|at| distance.get(*at) == Some(&row)).collect();
        let target = |at: &usize| match graph.nodes.get(*at).map(|node| node.pass) {
            Some(Pass::To(next)) => columns.get(next).copied().unwrap_or(0),
            Some(Pass::Done) | None => 0,
        };
        here.sort_by_key(|at| (target(at), *at));
        for (column, at) in here.into_iter().enumerate() {
            if let Some(slot) = columns.get_mut(at) {
                *slot = column;
            }
        }
    }
    let place = |(distance, column): (&usize, &usize)| {
        let row = longest - distance;
        Place { x: MARGIN_PX + column * (width + GAP_PX), y: MARGIN_PX + row * ROW_PX, row }
    };
    distance.iter().zip(&columns).map(place).collect()
}

/// A lane for every rollback: the first in which no other one is between the same rows.
fn lanes(graph: &Graph, places: &[Place]) -> Vec<Option<usize>> {
    let mut taken: Vec<Vec<(usize, usize)>> = Vec::new();
    let lane = |(at, node): (usize, &super::model::Node)| {
        let Fail::Rollback { to, .. } = &node.fail else { return None };
        let rows = [at, *to].map(|at| places.get(at).map_or(0, |place| place.row));
        let (top, bottom) = (rows[0].min(rows[1]), rows[0].max(rows[1]));
        let free = |spans: &Vec<(usize, usize)>| spans.iter().all(|(from, to)| bottom < *from || top > *to);
        let lane = taken.iter().position(free).unwrap_or_else(|| {
            taken.push(Vec::new());
            taken.len() - 1
        });
        if let Some(spans) = taken.get_mut(lane) {
            spans.push((top, bottom));
        }
        Some(lane)
    };
    graph.nodes.iter().enumerate().map(lane).collect()
}

#[expect(clippy::too_many_arguments, reason = "the whole drawing is what an edge depends on")]
fn edges(
    svg: &mut String,
    graph: &Graph,
    at: usize,
    places: &[Place],
    width: usize,
    done: (usize, usize),
    lane_from: usize,
    lane: Option<usize>,
) {
    let (Some(node), Some(from)) = (graph.nodes.get(at), places.get(at)) else { return };
    let (x, y) = (from.x + width / 2, from.y + BOX_HEIGHT_PX);
    let (to_x, to_y) = match node.pass {
        Pass::To(next) => places.get(next).map_or(done, |place| (place.x + width / 2, place.y)),
        Pass::Done => done,
    };
    let half = y.midpoint(to_y);
    add(svg, format_args!("<path d=\"M{x} {y} C{x} {half} {to_x} {half} {to_x} {}\"/>", to_y - 6));
    add(svg, format_args!("<path class=\"tip\" d=\"M{to_x} {to_y} l-4 -8 h8 z\"/>"));
    let (side, level) = (from.x + width, from.y + BOX_HEIGHT_PX / 2 + 8);
    match (&node.fail, lane) {
        (Fail::Rollback { to, charge, allowed }, Some(lane)) => {
            let Some(back) = places.get(*to) else { return };
            let lane_x = lane_from + lane * LANE_PX;
            // Out below its row and in above the other one, so that no box is crossed.
            let (out_x, back_x) = (from.x + width - CORNER_PX, back.x + width - CORNER_PX);
            let below = y + TURN_PX;
            add(
                svg,
                format_args!(
                    "<path class=\"back\" d=\"M{out_x} {y} V{below} H{lane_x} V{} H{back_x} V{}\"/>",
                    back.y - TURN_PX,
                    back.y - 6
                ),
            );
            add(svg, format_args!("<path class=\"tip\" d=\"M{back_x} {} l-4 -8 h8 z\"/>", back.y));
            add(
                svg,
                format_args!(
                    "<text class=\"label\" x=\"{}\" y=\"{}\">{}</text>",
                    out_x + 6,
                    below + 12,
                    xml(&budget(charge, *allowed))
                ),
            );
        }
        (Fail::Rollback { .. }, None) => {}
        (Fail::Hold, _) => stub(svg, side, level, "hold"),
        (Fail::Failed, _) => stub(svg, side, level, "failed"),
    }
}

/// A fail that ends or holds the task: a short arrow and the word.
fn stub(svg: &mut String, x: usize, y: usize, word: &str) {
    add(
        svg,
        format_args!(
            "<path class=\"back\" d=\"M{x} {y} h24\"/><path class=\"tip\" d=\"M{} {y} l-8 -4 v8 z\"/>",
            x + 30
        ),
    );
    add(svg, format_args!("<text class=\"label\" x=\"{}\" y=\"{}\">{word}</text>", x + 34, y + 4));
}

fn budget_text(fail: &Fail) -> String {
    match fail {
        Fail::Rollback { charge, allowed, .. } => budget(charge, *allowed),
        Fail::Hold | Fail::Failed => String::new(),
    }
}

/// Text of an element or an attribute.
fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn add(svg: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(svg, "{element}").expect("a String takes every text");
}
