//! Watching on tokio.

use tokio::task::spawn_blocking;

use super::MemoryOptimizer;

impl MemoryOptimizer {
    /// Polls whenever that is due, on tokio's threads for blocking work. Never ends; dropped, it polls no more.
    ///
    /// # Example
    /// ```
    /// use daur_std::performance::memory::memory_optimizer;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let watching = tokio::spawn(memory_optimizer().keep_watching());
    /// # tokio::task::yield_now().await;
    /// watching.abort();
    /// # assert!(watching.await.unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn keep_watching(&self) -> impl Future<Output = ()> + Send + 'static {
        let optimizer = self.clone();
        async move {
            loop {
                tokio::time::sleep(optimizer.pause().into()).await;
                let polling = optimizer.clone();
                // An error means that the runtime is going down, and this with it: a poll catches what panics.
                let _ = spawn_blocking(move || polling.poll()).await;
            }
        }
    }
}
