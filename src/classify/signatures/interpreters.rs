//! Languages' own start-up: a module, a script or a tool's plug-in that is not there; a tool called wrongly.

use super::{Entry, permanent, transient};

pub(super) const TABLE: &[Entry] = &[
    // -- python ------------------------------------------------------------------------------------------------
    permanent(
        "python-module",
        r"^(?:E +)?(?:\w+\.)*ModuleNotFoundError: No module named |^\S*(?:python|pypy)[0-9.]*(?:\.exe)?: No module named |^\S*(?:python|pypy)[0-9.]*: can't (?:open file|find '__main__')|^\S*python[0-9.]*: Error while finding module specification|^Could not find platform (?:in)?dependent libraries|^pyenv: |^Fatal Python error: (?:init|Py_Init|_Py|preconfig|config_|Python)|^(?:E +)?ImportError: (?:lib\S+|/\S+): |^(?:E +)?ImportError: (?:No module named |Error importing plugin )|^Error importing plugin |: No module named \S+$|^The virtual environment was not created",
    ),
    permanent(
        "pytest-usage",
        r"^ERROR: (?:usage: |file or directory not found: |not found: |\S+\.(?:ini|toml|cfg): |Missing required plugins|while parsing the following warning)|^(?:pytest|py\.test|__main__\.py|\S+\.py): error: |^\S*python[0-9.]*: (?:unknown|bad) option|^Unknown option: -",
    ),
    // -- javascript --------------------------------------------------------------------------------------------
    permanent(
        "node-module",
        r"^(?:Uncaught )?(?:Error|Error \[ERR_MODULE_NOT_FOUND\]|Error \[MODULE_NOT_FOUND\]): Cannot find (?:module|package) |^(?:✖ ERROR: )?Error(?: \[ERR_MODULE_NOT_FOUND\])?: Cannot find (?:module|package)|^\s*code: '(?:ERR_)?MODULE_NOT_FOUND'|^error Cannot find module|^ ?MISSING DEPENDENCY |^Could not find '.*'$|^Error: No test files found|No test files found, exiting with code",
    ),
    permanent(
        "node-usage",
        r"^\S*node: (?:bad option|.* is not allowed in NODE_OPTIONS|.* requires an argument)|^● (?:Unrecognized CLI Parameter|Validation Error|Multiple configurations found)|^Error: Could not resolve a module for a custom reporter|^(?:Preset \S+ |Test environment \S+ |.*Module \S+ in the \S+ option was )(?:was )?(?:not found|cannot be found)|Can't find a root directory while resolving a config|Could not find a config file based on|^CACError: Unknown option|^\s*Unrecognized option ",
    ),
    // -- perl, ruby, php ---------------------------------------------------------------------------------------
    permanent(
        "perl-module",
        r#"^Can't locate \S+ in @INC|^Can't open perl script "|^Cannot detect source of|^(?:Can't exec|Could not execute \()|^Unrecognized switch: "#,
    ),
    permanent(
        "ruby-module",
        r"cannot load such file -- |^\S*ruby: No such file or directory -- |^\S*ruby: invalid option",
    ),
    permanent(
        "php-file",
        r"^Could not open input file: |Failed opening required |^Composer (?:could not find|detected issues)|^Cannot open file ",
    ),
    // -- test tools that are no interpreters -------------------------------------------------------------------
    permanent(
        "bats-file",
        r#"^(?:Error: )?(?:bats: )?Test file ".*" does not exist|^bats: .* does not exist|^Error: Bad command line option|^Error: Must specify at least one"#,
    ),
    permanent(
        "dotnet",
        r"No \.NET SDKs were found|^MSBUILD : error MSB1003|You must install or update \.NET|^The command could not be loaded",
    ),
    // -- java --------------------------------------------------------------------------------------------------
    permanent(
        "java-class",
        r"^Error: (?:Could not find or load main class|Unable to (?:access|initialize) |LinkageError|A JNI error|Main method not found|Could not create the Java Virtual Machine|Invalid or corrupt jarfile|Unable to load)|java\.lang\.(?:UnsupportedClassVersionError|NoClassDefFoundError|ClassNotFoundException|module\.FindException)|^Unrecognized (?:VM )?option|^Invalid (?:maximum|initial) heap size|^Error: Could not find or load|^(?:javac: |error: )(?:file not found|invalid (?:flag|source release|target release)|no source files|release version)|: error: package \S+ does not exist$|^Improperly specified VM option",
    ),
    // -- compilers and build tools -----------------------------------------------------------------------------
    transient(
        "make-killed",
        r"^\S*make(?:\[\d+\])?: \*\*\* \[.*\] (?:Killed|Terminated|Interrupt|Hangup|Error 137|Error 143)|^\S+: line \d+: +\d+ (?:Killed|Terminated|Hangup)\b",
    ),
    permanent(
        "make-missing",
        r"^\S*make(?:\[\d+\])?: (?:\*\*\* )?(?:No rule to make target|No targets|.*: No such file or directory|.*: (?:Permission denied|Command not found)|\*\*\* \[.*\] Error 12[67]$)|^\S*make: (?:invalid|unrecognized) option",
    ),
    permanent("cc-header", r"fatal error: '?\S+?'?(?:: No such file or directory| file not found)$"),
    permanent(
        "cmake",
        r"^CMake Error: (?:The source directory|CMake was unable to find|CMAKE_\w+ not set|Could not (?:find|create)|your CXX compiler|The current CMakeCache|Error: )|^CMake Error at .*\(find_package\)|Could NOT find |^No tests were found!!!$|^ninja: error: (?:loading|unknown target|.*missing and no known rule)|^CMake \S+ or higher is required|^Cannot find file: .*(?:DartConfiguration|CTestTestfile)",
    ),
];
