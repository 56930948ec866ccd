//! Floor 6: looks, and touches nothing: whether what is stored is whole ([`verify`]).
//!
//! Nothing here takes a lock, starts a producer, or makes a file. A task that is being driven while one looks is never
//! told as broken: what moved between two looks is looked at again, and what a runner has in hand is left out.

pub mod verify;
