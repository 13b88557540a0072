//! Logins on tokio.

use super::{Denied, Issued, SecurityManager};

impl SecurityManager {
    /// Checks a name and a password, and signs a token: login to token in one call.
    ///
    /// The store of users, the hash and the audit run on tokio's blocking pool, as many logins at a time as the builder
    /// says. Dropped while it waits for its turn, a login has not happened; dropped later, it is finished all the same.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`] whatever was wrong; [`Denied::LockedOut`], [`Denied::Overloaded`].
    pub async fn login(&self, name: &str, password: String, source: &str) -> Result<Issued, Denied> {
        let Ok(turn) = self.inner.logins.acquire().await else {
            return Err(self.no_turn(name, source));
        };
        let (manager, name, source) = (self.clone(), name.to_owned(), source.to_owned());
        let looked_at = tokio::task::spawn_blocking(move || {
            // Until the hash is done: a client that hangs up does not end it, and shall not make room for more.
            let _turn = turn;
            manager.login_in_turn(&name, &password, &source)
        });
        // A panic in a store or a hash.
        looked_at.await.unwrap_or(Err(Denied::Internal))
    }
}
