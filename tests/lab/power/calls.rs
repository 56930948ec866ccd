//! What strace(1) wrote down of the calls that change files, in order and by absolute path.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// The calls that are written down.
pub(crate) const CALLS: &str = "?open,?creat,openat,?openat2,pwrite64,?pwritev,write,?writev,?splice,?copy_file_range,\
    ?sendfile,?truncate,ftruncate,fallocate,?rename,renameat,?renameat2,?link,linkat,?unlink,unlinkat,?mkdir,mkdirat,\
    ?rmdir,?symlink,symlinkat,fsync,fdatasync,?sync,?syncfs,?sync_file_range";

/// One call that changed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// A file is there now that was not.
    Make(PathBuf),
    /// A folder is there now that was not.
    MakeFolder(PathBuf),
    /// A file has this size.
    Size(PathBuf, u64),
    /// A file has at least this size.
    Room(PathBuf, u64),
    /// Bytes of a file; at its end where no place is given.
    Write(PathBuf, Option<u64>, Vec<u8>),
    /// Another name.
    Rename(PathBuf, PathBuf),
    /// One more name.
    Link(PathBuf, PathBuf),
    /// A name less.
    Remove(PathBuf),
    /// What was written to a file, or the names in a folder, are on the disk.
    Sync(PathBuf),
    /// The command said something on stdout: what it says is acknowledged.
    Said,
}

/// Where the next `write` of a file goes.
#[derive(Debug, Clone, Copy)]
enum Cursor {
    At(u64),
    End,
}

/// Reads a trace; `of_interest` says which paths matter, and `now` which of them are there before it.
pub(crate) fn read(trace: &Path, of_interest: &dyn Fn(&Path) -> bool, now: &dyn Fn(&Path) -> bool) -> Vec<Op> {
    let mut reader =
        Reader { first: None, cursors: BTreeMap::new(), there: BTreeMap::new(), ops: Vec::new(), of_interest, now };
    let text = fs::read_to_string(trace).unwrap();
    let mut unfinished: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines() {
        let (pid, rest) = line.split_once(' ').unwrap_or_else(|| panic!("a line of strace: {line}"));
        let rest = rest.trim_start();
        reader.first.get_or_insert_with(|| pid.to_owned());
        if let Some(head) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(pid.to_owned(), head.to_owned());
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (_, tail) = resumed.split_once(" resumed>").unwrap();
            let head = unfinished.remove(pid).unwrap_or_else(|| panic!("nothing to resume: {line}"));
            reader.call(pid, &format!("{head}{tail}"));
        } else {
            reader.call(pid, rest);
        }
    }
    reader.ops
}

struct Reader<'a> {
    /// The command itself; everything else is a child of it.
    first: Option<String>,
    cursors: BTreeMap<PathBuf, Cursor>,
    /// Names that came or went in this trace.
    there: BTreeMap<PathBuf, bool>,
    ops: Vec<Op>,
    of_interest: &'a dyn Fn(&Path) -> bool,
    now: &'a dyn Fn(&Path) -> bool,
}

impl Reader<'_> {
    fn is_there(&self, path: &Path) -> bool {
        self.there.get(path).copied().unwrap_or_else(|| (self.now)(path))
    }

    fn call(&mut self, pid: &str, line: &str) {
        let Some((name, rest)) = line.split_once('(') else { return };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { return };
        let result: i64 = match result.split(['<', ' ']).next().unwrap().parse() {
            Ok(result) if result >= 0 => result,
            // It failed, or the process ended in it.
            Ok(_) | Err(_) => return,
        };
        let args = split(arguments.trim_end().strip_suffix(')').unwrap_or(arguments));
        let many = u64::try_from(result).unwrap();
        match name {
            "open" | "creat" => self.opened(&path(&args[0]), &args[1]),
            "openat" | "openat2" => self.opened(&below(&args[0], &args[1]), &args[2]),
            "write" | "writev" if args[0].split('<').next() == Some("1") && Some(pid) == self.first.as_deref() => {
                self.ops.push(Op::Said);
            }
            "pwrite64" => {
                let at = args[3].parse().unwrap();
                self.wrote(&args[0], Some(at), &args[1], many);
            }
            "write" => self.wrote(&args[0], None, &args[1], many),
            "splice" => {
                if let Some(file) = self.file(&args[2]) {
                    let at: u64 = args[3].trim_matches(['[', ']']).parse().unwrap_or_else(|_| panic!("{line}"));
                    // Nothing else writes there, so that the bytes are still what they were.
                    let whole = fs::read(&file).unwrap();
                    let range = usize::try_from(at).unwrap()..usize::try_from(at + many).unwrap();
                    self.ops.push(Op::Write(file, Some(at), whole[range].to_vec()));
                }
            }
            "ftruncate" => {
                if let Some(file) = self.file(&args[0]) {
                    self.ops.push(Op::Size(file, args[1].parse().unwrap()));
                }
            }
            "fallocate" => {
                if let Some(file) = self.file(&args[0]) {
                    assert_eq!(args[1], "0", "only reserving is known here: {line}");
                    let (from, length): (u64, u64) = (args[2].parse().unwrap(), args[3].parse().unwrap());
                    self.ops.push(Op::Room(file, from + length));
                }
            }
            "rename" => self.renamed(path(&args[0]), path(&args[1])),
            "renameat" | "renameat2" => self.renamed(below(&args[0], &args[1]), below(&args[2], &args[3])),
            "link" => self.linked(path(&args[0]), path(&args[1])),
            "linkat" => self.linked(below(&args[0], &args[1]), below(&args[2], &args[3])),
            "unlink" | "rmdir" => self.removed(path(&args[0])),
            "unlinkat" => self.removed(below(&args[0], &args[1])),
            "mkdir" => self.made_folder(path(&args[0])),
            "mkdirat" => self.made_folder(below(&args[0], &args[1])),
            "fsync" | "fdatasync" => {
                if let Some(file) = self.file(&args[0]) {
                    self.ops.push(Op::Sync(file));
                }
            }
            "writev" | "pwritev" | "copy_file_range" | "sendfile" | "truncate" | "symlink" | "symlinkat" | "sync"
            | "syncfs" | "sync_file_range" => {
                let touches = args.iter().any(|arg| self.file(arg).is_some());
                assert!(
                    !touches && !name.starts_with("sync"),
                    "the lab does not know how {name} changes the disk: {line}"
                );
            }
            other => panic!("{other} was not asked for"),
        }
    }

    /// The path of a descriptor, where it matters.
    fn file(&self, descriptor: &str) -> Option<PathBuf> {
        // A file without a name is no part of any state.
        if descriptor.ends_with("(deleted)") {
            return None;
        }
        let (_, path) = descriptor.split_once('<')?;
        let path = PathBuf::from(std::ffi::OsString::from_vec(bytes(path.strip_suffix('>')?)));
        (path.is_absolute() && (self.of_interest)(&path)).then_some(path)
    }

    fn opened(&mut self, path: &Path, flags: &str) {
        if !(self.of_interest)(path) {
            return;
        }
        let there = self.is_there(path);
        if flags.contains("O_CREAT") && !there {
            self.there.insert(path.to_owned(), true);
            self.ops.push(Op::Make(path.to_owned()));
        } else if flags.contains("O_TRUNC") {
            self.ops.push(Op::Size(path.to_owned(), 0));
        }
        let cursor = if flags.contains("O_APPEND") { Cursor::End } else { Cursor::At(0) };
        if flags.contains("O_WRONLY") || flags.contains("O_RDWR") {
            self.cursors.insert(path.to_owned(), cursor);
        }
    }

    fn wrote(&mut self, descriptor: &str, at: Option<u64>, text: &str, many: u64) {
        let Some(file) = self.file(descriptor) else { return };
        let bytes = bytes(text.trim_matches('"'));
        assert_eq!(bytes.len() as u64, many, "{}: a short write, or a cut line of strace", file.display());
        let at = at.or_else(|| match self.cursors.get_mut(&file) {
            Some(Cursor::At(at)) => {
                let here = *at;
                *at += many;
                Some(here)
            }
            Some(Cursor::End) | None => None,
        });
        self.ops.push(Op::Write(file, at, bytes));
    }

    fn renamed(&mut self, from: PathBuf, to: PathBuf) {
        match ((self.of_interest)(&from), (self.of_interest)(&to)) {
            (false, false) => return,
            (true, true) => {}
            (_, _) => panic!("{} leaves the lab as {}", from.display(), to.display()),
        }
        if let Some(cursor) = self.cursors.remove(&from) {
            self.cursors.insert(to.clone(), cursor);
        }
        self.there.insert(from.clone(), false);
        self.there.insert(to.clone(), true);
        self.ops.push(Op::Rename(from, to));
    }

    fn linked(&mut self, from: PathBuf, to: PathBuf) {
        if (self.of_interest)(&to) {
            self.there.insert(to.clone(), true);
            self.ops.push(Op::Link(from, to));
        }
    }

    fn removed(&mut self, path: PathBuf) {
        if (self.of_interest)(&path) {
            self.there.insert(path.clone(), false);
            self.ops.push(Op::Remove(path));
        }
    }

    fn made_folder(&mut self, path: PathBuf) {
        if (self.of_interest)(&path) {
            self.there.insert(path.clone(), true);
            self.ops.push(Op::MakeFolder(path));
        }
    }
}

/// Arguments of a call. Strings are hexadecimal, so that a comma in one is none.
fn split(text: &str) -> Vec<String> {
    let (mut args, mut depth) = (vec![String::new()], 0);
    for piece in text.split(", ") {
        let last = args.last_mut().unwrap();
        if depth > 0 {
            last.push_str(", ");
        }
        last.push_str(piece);
        depth += piece.matches(['{', '[']).count();
        depth -= piece.matches(['}', ']']).count().min(depth);
        if depth == 0 {
            args.push(String::new());
        }
    }
    args.pop();
    args
}

fn path(text: &str) -> PathBuf {
    plain(&PathBuf::from(std::ffi::OsString::from_vec(bytes(text.trim_matches('"')))))
}

/// A path below a descriptor of a folder.
fn below(folder: &str, text: &str) -> PathBuf {
    let folder = folder.split_once('<').map(|(_, path)| bytes(path.trim_end_matches('>'))).unwrap_or_default();
    plain(&PathBuf::from(std::ffi::OsString::from_vec(folder)).join(path(text)))
}

/// Without `.` in it.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    if hex.is_empty() || !hex.starts_with("\\x") {
        return hex.as_bytes().to_vec();
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_else(|| panic!("no hexadecimal text: {hex:.80}"));
    let pair = |part: &[u8]| u8::try_from(digit(part[2]) * 16 + digit(part[3])).unwrap();
    hex.as_bytes().chunks_exact(4).map(pair).collect()
}
