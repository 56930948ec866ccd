//! Agents as producers: launched, contained, believed only through the gate. git, processes, Landlock and the gate are
//! real; the agent is a real program that follows a script.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "agents/beside.rs"]
mod beside;
#[path = "agents/cage.rs"]
mod cage;
#[path = "agents/damage.rs"]
mod damage;
#[path = "agents/delivery.rs"]
mod delivery;
#[path = "agents/lies.rs"]
mod lies;
#[path = "agents/limits.rs"]
mod limits;
#[path = "agents/office.rs"]
mod office;
#[path = "agents/secrets.rs"]
mod secrets;
#[path = "agents/shadow.rs"]
mod shadow;
#[expect(dead_code, reason = "tests/staging.rs uses the rest")]
#[path = "staging/sshd.rs"]
mod sshd;
#[expect(dead_code, unused_imports, reason = "other tests use the rest")]
mod support;
#[path = "agents/work.rs"]
mod work;
