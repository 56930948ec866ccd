//! Prompt files: text → [`Prompt`], or every problem of it at once, with line and column.

use super::code::Code;
use super::place::Span;
use super::problem::{Draft, Problem, Sink};
use super::scalar::shown;
use super::suggest;
use crate::domain::id::RelPath;
use crate::domain::pipeline::{Pipeline, Stage};
use crate::domain::prompt::{ARTIFACTS_HEAD, Named, PROMPT_BYTES_MAX, Piece, Prompt, Variable};

/// Longest name of a variable that is looked for behind `{{`, in bytes.
const NAME_BYTES_MAX: usize = 512;

/// Reads and checks the prompt of a stage.
///
/// # Errors
/// Every [`Problem`] of the text, in its order.
pub fn prompt(bytes: &[u8], pipeline: &Pipeline, stage: &Stage) -> Result<Prompt, Vec<Problem>> {
    let mut sink = Sink::default();
    let pieces = read(bytes, pipeline, stage, &mut sink);
    match pieces {
        Some(pieces) if sink.count() == 0 => Ok(Prompt::new(pieces)),
        Some(_) | None => Err(sink.finish(bytes)),
    }
}

fn read(bytes: &[u8], pipeline: &Pipeline, stage: &Stage, sink: &mut Sink) -> Option<Vec<Piece>> {
    if bytes.len() > PROMPT_BYTES_MAX {
        let message = format!("the prompt is longer than {PROMPT_BYTES_MAX} bytes");
        sink.push(Draft::new(Code::PromptText, Span::default(), message).help("let the prompt name files to read"));
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let message = "the prompt is not UTF-8";
            sink.push(Draft::new(Code::PromptText, Span::new(at, at), message).help("save it as UTF-8"));
            return None;
        }
    };
    if let Some(at) = text.find('\0') {
        sink.push(Draft::new(Code::PromptText, Span::new(at, at + 1), "the prompt holds a NUL byte"));
    }
    if text.trim().is_empty() {
        let draft = Draft::new(Code::PromptText, Span::default(), "the prompt holds nothing but blanks");
        sink.push(draft.help("say what the agent is to do"));
    }
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find("{{")) {
        let open = at + found;
        let before = text.get(at..open).unwrap_or_default();
        if let Some(literal) = before.strip_suffix('\\') {
            plain.push_str(literal);
            plain.push_str("{{");
            at = open + 2;
            continue;
        }
        plain.push_str(before);
        let rest = text.get(open + 2..).unwrap_or_default();
        let end =
            rest.find("}}").filter(|end| *end <= NAME_BYTES_MAX && !rest.get(..*end).unwrap_or("\n").contains('\n'));
        let Some(end) = end else {
            let draft = Draft::new(Code::PromptVariable, Span::new(open, open + 2), "`{{` without `}}` in its line");
            sink.push(draft.help("write `{{name}}`; a literal `{{` is written `\\{{`"));
            at = open + 2;
            continue;
        };
        let name = rest.get(..end).unwrap_or_default().trim();
        at = open + 2 + end + 2;
        if let Some(variable) = variable(name, Span::new(open, at), pipeline, stage, sink) {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(Piece::Variable(variable));
        }
    }
    plain.push_str(text.get(at..).unwrap_or_default());
    pieces.push(Piece::Text(plain));
    Some(pieces)
}

fn variable(name: &str, span: Span, pipeline: &Pipeline, stage: &Stage, sink: &mut Sink) -> Option<Variable> {
    if let Some(named) = Named::ALL.into_iter().find(|named| named.as_str() == name) {
        return Some(Variable::Named(named));
    }
    let others = || pipeline.stages().iter().filter(|other| other.name != stage.name);
    let files = || others().filter_map(|other| other.artifact.as_ref());
    if let Some(file) = name.strip_prefix(ARTIFACTS_HEAD) {
        if let Some(path) = files().find(|path| path.as_str() == file) {
            return Some(Variable::Artifact(path.clone()));
        }
        let near = suggest::did_you_mean(file, files().map(RelPath::as_str), sink);
        let help = near.unwrap_or_else(|| match files().next() {
            None => "no other stage of this pipeline has an artifact: leave the variable out".to_owned(),
            Some(_) => format!("the other stages' artifacts are {}", suggest::all_of(files().map(RelPath::as_str))),
        });
        let message = format!("no other stage has the artifact `{}`", shown(file));
        sink.push(Draft::new(Code::PromptVariable, span, message).help(help));
        return None;
    }
    let names = || Named::ALL.iter().map(|named| named.as_str());
    let near = suggest::did_you_mean(name, names(), sink);
    let help = near.unwrap_or_else(|| {
        format!("known: {} and `artifacts/FILE`; a literal `{{{{` is written `\\{{{{`", suggest::all_of(names()))
    });
    sink.push(
        Draft::new(Code::PromptVariable, span, format!("`{}` is no variable of a prompt", shown(name))).help(help),
    );
    None
}
