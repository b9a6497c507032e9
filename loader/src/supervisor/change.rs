//! Change: what a control request changes in the running gateway.

use crate::{
    control::{api::SessionChanged, change::CookieChange},
    publish,
};

use super::gateway::Gateway;

impl Gateway {
    /// Gives a session other cookies, from the next batch of each worker on. The configuration file is not touched.
    ///
    /// # Errors
    /// What is wrong with the request, for people; nothing is changed then.
    pub(super) fn set_cookies(
        &mut self,
        name: &str,
        change: &CookieChange,
    ) -> Result<SessionChanged, String> {
        let session = self.plan.config.session(name).map(|(_, session)| session);
        let session = session.ok_or_else(|| format!("there is no session {name}"))?;
        let (changed, keys) = change.of(session)?;
        if !keys.is_empty() {
            self.plan.replace_session(&changed);
            self.publish(publish::tables::build(&self.plan, &self.world));
            tracing::info!("session {name}: {} changed over the control socket", keys.join(", "));
        }
        let changed = keys.into_iter().map(str::to_owned).collect();
        Ok(SessionChanged { name: name.to_owned(), changed, persistent: false })
    }
}
