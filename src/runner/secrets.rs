//! The secrets of a run: what hides them in what is shown, and which could not be hidden.

use crate::config::is_secret;
use crate::domain::agent::Agent;
use crate::domain::mask::{Masker, SECRET_BYTES_MIN};
use crate::domain::pipeline::{AgentProfile, EnvSpec, Producer, Stage};
use crate::engine::declares;
use crate::workspace::secrets;

use super::drive::Runner;
use super::error::RunError;

impl Runner<'_> {
    /// What hides the secrets of this run's environment and of earlier ones.
    pub(super) fn masker(&self) -> Result<Masker, RunError> {
        let failed = |error: std::io::Error| RunError::Secrets(error.to_string());
        let mut masker = secrets::recall(self.state.path()).map_err(failed)?;
        let set = self.pipeline.stages().iter().flat_map(Stage::environments).flat_map(|env| &env.set);
        let host = self.host_env.iter().map(|(name, value)| (name, value));
        for (_, value) in host.chain(set).filter(|(name, _)| is_secret(name)) {
            masker.learn(value);
        }
        Ok(masker)
    }

    /// Remembers by their fingerprints what must be hidden when this run is shown later.
    pub(super) fn remember_secrets(&self) -> Result<Masker, RunError> {
        let masker = self.masker()?;
        secrets::keep(self.state.path(), &masker).map_err(|error| RunError::Secrets(error.to_string()))?;
        Ok(masker)
    }

    /// A secret that a producer, or the shadow beside it, would be given and that is too short to be hidden. Those of
    /// orch's own environment that nobody is given are not looked at.
    pub(super) fn short_secret(&self, producer: &Producer, shadow: Option<&Agent>) -> Option<String> {
        let profile = |agent: &Agent| agent.profile;
        let given = producer.env().map(|env| (env, producer.agent().map(profile)));
        let beside = shadow.map(|agent| (&agent.env, Some(agent.profile)));
        given.into_iter().chain(beside).find_map(|(env, profile)| self.short_of(env, profile))
    }

    fn short_of(&self, env: &EnvSpec, profile: Option<AgentProfile>) -> Option<String> {
        let passed =
            self.host_env.iter().filter(|(name, _)| declares(env, profile, name) && !env.set.contains_key(name));
        let passed = passed.map(|(name, value)| (name, value));
        let short = |value: &str| (1..SECRET_BYTES_MIN).contains(&value.trim().len());
        passed.chain(&env.set).find(|(name, value)| is_secret(name) && short(value)).map(|(name, _)| name.clone())
    }
}
