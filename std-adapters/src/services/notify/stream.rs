//! A subscription as a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::{Lagged, Notification, RecvError, Subscription};

impl<T: Clone + Send + Sync + 'static> Stream for Subscription<T> {
    type Item = Result<Notification<T>, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(context).map(|read| match read {
            Ok(notification) => Some(Ok(notification.to_owned())),
            Err(RecvError::Lagged(lagged)) => Some(Err(Lagged(lagged))),
            Err(RecvError::Closed) => None,
        })
    }
}
