//! Logins on tokio.

use zeroize::Zeroizing;

use super::{Denied, Issued, SecurityManager};

impl SecurityManager {
    /// Checks a name and a password, and signs a token: login to token in one call.
    ///
    /// The store of users, the hash and the audit run on tokio's blocking pool, as many logins at a time as the builder
    /// says. Dropped while it waits for its turn, a login has not happened; dropped later, it is finished all the same. The
    /// password is wiped in any case.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`] whatever was wrong; [`Denied::LockedOut`], [`Denied::Overloaded`].
    pub fn login(
        &self,
        name: &str,
        password: String,
        source: &str,
    ) -> impl Future<Output = Result<Issued, Denied>> + Send {
        // Before the first poll: a future that is never polled wipes it too.
        let password = Zeroizing::new(password);
        async move {
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
}
