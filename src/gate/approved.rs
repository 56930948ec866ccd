//! The gate `approved`: the artifact that orch writes for a person's word.

use super::contract::Contract;

/// `decision` is the verdict.
pub(super) fn contract() -> Contract<'static> {
    Contract { key: "decision", pass: vec!["APPROVED"], fail: vec!["REJECTED"], companions: &[] }
}
