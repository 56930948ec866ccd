//! Stable codes of problems. A code is never given to another problem, and a retired one is not used again.
//!
//! Numbers come in groups, with room in each: 1 the text and its YAML, 101 the shape of the file, 201 single
//! values, 301 producers, 401 gates, transitions and the graph. What each means is told in `explain.rs`.

use std::fmt;

macro_rules! codes {
    ($($variant:ident = $number:literal, $title:literal;)*) => {
        /// The kind of a problem; shown as `ORCH0001` and so on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = concat!("ORCH", $number, ": ", $title, ".")] $variant,)*
        }

        impl Code {
            /// Every code, by number.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code as people and tools see it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => concat!("ORCH", $number),)* }
            }

            /// What kind of problem it is, in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    FileTooLarge = "0001", "the file is too large";
    NotUtf8 = "0002", "the file is not UTF-8";
    ByteOrderMark = "0003", "the file begins with a byte order mark";
    ControlCharacter = "0004", "a character that cannot be seen";
    Tab = "0005", "a tab";
    EmptyFile = "0006", "the file is empty";
    Syntax = "0007", "the text is not YAML";
    TooDeep = "0008", "nested too deeply";
    TooManyNodes = "0009", "too many values";
    SecondDocument = "0010", "a second document";
    Anchor = "0011", "an anchor or an alias";
    Tag = "0012", "a tag";
    MergeKey = "0013", "a merge key";
    Directive = "0014", "a directive";
    KeyNotText = "0015", "a key that is not a word";
    DuplicateKey = "0016", "a key stands twice";
    TooManyProblems = "0017", "more problems than are shown";

    UnknownKey = "0101", "an unknown key";
    MissingKey = "0102", "a key is missing";
    WrongShape = "0103", "a value of the wrong shape";
    NotText = "0104", "a value that is not a text";
    NotBoolean = "0105", "a value that is neither true nor false";
    NotCount = "0106", "a value that is not a count";
    Version = "0107", "an unknown version";

    BadName = "0201", "a name outside its grammar";
    ReservedName = "0202", "a stage has a reserved name";
    PathOutside = "0203", "a path that could leave the worktree";
    ArtifactsFolder = "0204", "a folder of artifacts that cannot be used";
    Duration = "0205", "a value that is not a duration";
    DurationRange = "0206", "a duration outside its limits";
    Backoff = "0207", "a value that is not a backoff";
    UnknownWord = "0208", "a word outside its set";

    OneProducer = "0301", "not exactly one producer";
    CommandString = "0302", "a command in one string";
    EmptyCommand = "0303", "a command without a program";
    NulInCommand = "0304", "a NUL byte in a command or its environment";
    Variable = "0305", "a variable that a command may not use";
    Host = "0306", "a host outside its grammar";
    ClosingLine = "0307", "a closing line that proves nothing";
    EvidenceSettings = "0308", "evidence and its settings do not match";
    EvidenceMissing = "0309", "a command without declared evidence";
    ExitMap = "0310", "an exit map that cannot be used";
    EnvName = "0311", "a name no environment variable can have";
    EnvReserved = "0312", "a reserved environment variable";
    Report = "0313", "a report that cannot be read";
    AgentCommand = "0314", "an agent's command and profile do not match";
    Smoke = "0315", "a smoke check that cannot be made";
    Writes = "0316", "a write scope that could leave the worktree";
    PromptText = "0317", "a prompt that is no text";
    PromptVariable = "0318", "a variable that a prompt may not use";
    AgentCap = "0319", "a cap that the agent's tool cannot keep";
    MayWrite = "0320", "a place outside the worktree that cannot be named";
    Shadow = "0321", "a shadow that nothing can be held against";
    Detached = "0322", "a command that is started and not waited for";

    MissingGate = "0401", "a stage without a gate";
    UnknownGate = "0402", "an unknown gate";
    GateDoesNotFit = "0403", "a gate that does not fit the producer";
    GateWithoutArtifact = "0404", "a gate without an artifact";
    ArtifactWithoutGate = "0405", "an artifact that nothing reads";
    GateWords = "0406", "a gate whose words decide nothing";
    DuplicateArtifact = "0407", "two stages with one artifact";
    InfraTransition = "0408", "a transition for a fault of the infrastructure";
    FailAdvances = "0409", "a fail that leads forward";
    PassDoesNotAdvance = "0410", "a pass that does not lead forward";
    UnknownStage = "0411", "a transition to an unknown stage";
    UnknownBudget = "0412", "a charge to an unknown budget";
    RollbackWithoutCharge = "0413", "a rollback that nothing bounds";
    RollbackForward = "0414", "a rollback that leads forward";
    UnboundedLoop = "0415", "passes that go round in a circle";
    Unreachable = "0416", "a stage that no task can reach";
    NoStages = "0417", "no stages";
    TooManyStages = "0418", "too many stages";
    FallbackWithoutSwitch = "0419", "a fallback that can never run";
    DuplicateStage = "0420", "two stages with one name";
}

impl Code {
    /// The code of a text such as `ORCH0007`; case does not matter, nor do missing zeros.
    pub fn from_text(text: &str) -> Option<Self> {
        let digits = text.get(..4).filter(|prefix| prefix.eq_ignore_ascii_case("orch")).and_then(|_| text.get(4..))?;
        let number: u32 = digits.parse().ok()?;
        let wanted = format!("ORCH{number:04}");
        Self::ALL.iter().copied().find(|code| code.as_str() == wanted)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_by_their_numbers() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
        for code in Code::ALL {
            assert_eq!(Code::from_text(code.as_str()), Some(*code));
        }
        assert_eq!(Code::from_text("orch7"), Some(Code::Syntax));
        for unknown in ["", "ORCH", "ORCH9999", "7", "ORCH-7", "örch7", "ORCH00000000000007x"] {
            assert_eq!(Code::from_text(unknown), None, "{unknown}");
        }
    }
}
