//! Commands: a list of words that is started directly, and the variables its words may use.

use std::borrow::Cow;
use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::code::Code;
use super::place::Spanned;
use super::problem::{Draft, Sink};
use super::read::{FromNode, name, scalar, spanned, wrong_shape};
use super::scalar::shown;
use super::suggest;
use super::tree::{Kind, NodeRef};
use super::values::{Word, inline_schema};
use crate::domain::pipeline::{Argv, ArgvError};

/// Variables that every command may use.
const ALWAYS: [&str; 7] =
    ["ORCH_TASK", "ORCH_RUN", "ORCH_STAGE", "ORCH_ATTEMPT", "ORCH_WORKTREE", "ORCH_BASE_COMMIT", "ORCH_ARTIFACTS"];

/// The attempt's own folder, which is made only where a report stands in it.
const ATTEMPT_DIR: &str = "ORCH_ATTEMPT_DIR";

/// Program and arguments with their places.
#[derive(Debug)]
pub(super) struct Command {
    /// The command.
    pub(super) argv: Argv,
    words: Vec<Spanned<Word>>,
}

impl FromNode for Command {
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        match node.kind() {
            Kind::List => {}
            Kind::Scalar { .. } if !node.is_null() => {
                let line = scalar(node, "a list of words", sink)?;
                let message = format!("{} is one string; a command is a list of words", name(node));
                sink.push(Draft::new(Code::CommandString, node.span(), message).help(list_form(line)));
                return None;
            }
            Kind::Scalar { .. } | Kind::Map | Kind::Broken => {
                wrong_shape(node, "a list of words: `[program, argument]`", sink);
                return None;
            }
        }
        let before = sink.count();
        let words: Vec<Spanned<Word>> = node.items().filter_map(|item| spanned(item, sink)).collect();
        if sink.count() > before {
            return None;
        }
        let draft = match Argv::new(words.iter().map(|word| word.value.0.clone()).collect()) {
            Ok(argv) => return Some(Self { argv, words }),
            Err(ArgvError::NoProgram) => {
                let place = words.first().map_or_else(|| node.first_line(), |word| word.span);
                let message = format!("{} has no program as its first word", name(node));
                Draft::new(Code::EmptyCommand, place, message).help("write the program first: `[cargo, test]`")
            }
            Err(ArgvError::Nul(at)) => {
                let place = words.get(at).map_or_else(|| node.first_line(), |word| word.span);
                let message =
                    format!("word {} of {} holds a NUL byte, which no process can be given", at + 1, name(node));
                Draft::new(Code::NulInCommand, place, message)
            }
            Err(ArgvError::CommandLine(line)) => {
                let place = words.first().map_or_else(|| node.first_line(), |word| word.span);
                let message = format!("the program `{}` looks like a whole command line", shown(&line));
                let all: Vec<&str> = words.iter().skip(1).map(|word| word.value.0.as_str()).collect();
                let rest = if all.is_empty() { String::new() } else { format!(" {}", all.join(" ")) };
                Draft::new(Code::CommandString, place, message).help(list_form(&format!("{line}{rest}")))
            }
        };
        sink.push(draft);
        None
    }
}

impl JsonSchema for Command {
    inline_schema!("Command", generator => {
        let word = generator.subschema_for::<Word>();
        json_schema!({ "type": "array", "items": word, "minItems": 1 })
    });
}

impl Command {
    /// Checks every `${NAME}` of the words. `declared` says which names `env:` declares; `attempt_dir` whether a
    /// report stands in the attempt's folder.
    pub(super) fn check_variables(&self, declared: impl Fn(&str) -> bool, attempt_dir: bool, sink: &mut Sink) {
        for word in &self.words {
            for variable in variables(&word.value.0) {
                let draft = match variable {
                    Variable::Broken => Draft::new(
                        Code::Variable,
                        word.span,
                        format!("`{}` holds `${{` without a name", shown(&word.value.0)),
                    )
                    .help("write `${NAME}`; a literal `${` is written `$${`"),
                    Variable::Name(ATTEMPT_DIR) if attempt_dir => continue,
                    Variable::Name(ATTEMPT_DIR) => Draft::new(
                        Code::Variable,
                        word.span,
                        "`${ORCH_ATTEMPT_DIR}` needs a report in the attempt's folder",
                    )
                    .help("declare the report: `report: { junit: \"{attempt}/junit.xml\" }`"),
                    Variable::Name(known) if ALWAYS.contains(&known) || declared(known) => continue,
                    Variable::Name(unknown) => {
                        let near = suggest::did_you_mean(unknown, ALWAYS.into_iter().chain([ATTEMPT_DIR]), sink);
                        let help = near.unwrap_or_else(|| {
                            format!("declare it: `env: {{ pass: [{unknown}] }}`; a literal `${{` is written `$${{`")
                        });
                        let message = format!("`${{{unknown}}}` is not declared in `env:`");
                        Draft::new(Code::Variable, word.span, message).help(help)
                    }
                };
                sink.push(draft);
            }
        }
    }
}

/// What stands behind a `${` that is no literal one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Variable<'w> {
    /// `${NAME}`.
    Name(&'w str),
    /// `${` without a name and a closing brace.
    Broken,
}

/// The variables of a word, each once. `$${` is a literal `${`.
pub(super) fn variables(word: &str) -> BTreeSet<Variable<'_>> {
    let mut found = BTreeSet::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once("${") {
        rest = after;
        if before.ends_with('$') {
            continue;
        }
        let name = after.split_once('}').map(|(name, _)| name).filter(|name| is_env_name(name));
        found.insert(name.map_or(Variable::Broken, Variable::Name));
    }
    found
}

/// Whether a text can name an environment variable.
pub(super) fn is_env_name(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && text.len() <= 256
}

/// A command line as the list it should have been. A line that needs a shell gets one, in sight of everybody.
fn list_form(line: &str) -> String {
    const SHELL: &[char] = &['|', '&', ';', '<', '>', '`', '$', '(', ')', '*', '?', '~', '\n', '#', '\\'];
    let line = line.trim();
    if line.chars().count() > 200 {
        return "write one word a list item: `[program, argument]`".to_owned();
    }
    match split(line).filter(|_| !line.contains(SHELL)) {
        Some(words) => {
            let words: Vec<Cow<'_, str>> = words.iter().map(|word| quoted(word)).collect();
            format!("write `[{}]`", words.join(", "))
        }
        None => {
            format!("write one word a list item; where a shell is meant, say so: `[sh, -c, {}]`", quoted_single(line))
        }
    }
}

/// Words of a line without shell characters; quotes hold words together. `None` where a quote stays open.
fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '+' | '=' | '-' | '^');
    let starts_plain =
        word.chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.' | '-'));
    if starts_plain && word.chars().all(plain) && word != "-" {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(quoted_single(word))
    }
}

fn quoted_single(word: &str) -> String {
    format!("'{}'", word.replace('\'', "''").replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_shown_as_the_list_it_should_be() {
        let check = |line, expected: &str| assert_eq!(list_form(line), expected, "{line}");
        check("cargo nextest run --profile ci", "write `[cargo, nextest, run, --profile, ci]`");
        check("pytest -k 'a and b'", "write `[pytest, -k, 'a and b']`");
        check("make \"X=1 2\"", "write `[make, 'X=1 2']`");
        check("echo it's", "write one word a list item; where a shell is meant, say so: `[sh, -c, 'echo it''s']`");
        check(
            "true; touch pwned",
            "write one word a list item; where a shell is meant, say so: `[sh, -c, 'true; touch pwned']`",
        );
        check(&"a ".repeat(300), "write one word a list item: `[program, argument]`");
    }

    #[test]
    fn variables_are_found_and_literals_are_not() {
        let check = |word, expected: &[Variable<'_>]| {
            assert_eq!(variables(word).into_iter().collect::<Vec<_>>(), expected, "{word}");
        };
        check("plain $HOME {x} $", &[]);
        check("${A}/${B}/${A}", &[Variable::Name("A"), Variable::Name("B")]);
        check("$${A}", &[]);
        check("${", &[Variable::Broken]);
        check("${}", &[Variable::Broken]);
        check("${a b}", &[Variable::Broken]);
        check("${1}", &[Variable::Broken]);
        check("${A:-x}", &[Variable::Broken]);
        check("${{ task.title }}", &[Variable::Broken]);
        check("${A", &[Variable::Broken]);
    }
}
