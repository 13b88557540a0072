//! `#[require_auth]` and `#[require_permission]`.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use daur_core::security::manager::{Context, Denied, Identity};
use daur_core::security::permission::{Permissions, Scopes};
use daur_core::security::token::Claims;
use daur_core::text::Text;

fn claims(permissions: Permissions) -> Claims {
    Claims { sub: Text::cut("alice"), permissions, ..Claims::default() }
}

#[derive(Debug, PartialEq)]
enum Error {
    Denied(Denied),
    Own,
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

const FORBIDDEN: Error = Error::Denied(Denied::Forbidden);
const NOBODY: Error = Error::Denied(Denied::Unauthenticated);

#[daur_std::require_auth]
fn whoami(claims: &Claims) -> Result<String, Error> {
    if claims.sub == "eve" {
        return Err(Error::Own);
    }
    Ok(claims.sub.to_string())
}

#[daur_core::require_permission("admin")]
fn restart(caller: Option<&Claims>, runs: &AtomicU32) -> Result<u32, Error> {
    Ok(runs.fetch_add(1, SeqCst) + 1)
}

#[test]
fn a_sync_function_runs_only_for_whom_may() {
    assert_eq!(whoami(&claims(Permissions::NONE)), Ok("alice".to_owned()));
    assert_eq!(whoami(&Claims { sub: Text::cut("eve"), ..Claims::default() }), Err(Error::Own));
    assert_eq!(whoami(&Claims::default()), Err(NOBODY));
    let runs = AtomicU32::new(0);
    assert_eq!(restart(None, &runs), Err(NOBODY));
    assert_eq!(restart(Some(&claims(Permissions::READ.with(Permissions::WRITE))), &runs), Err(FORBIDDEN));
    assert_eq!(runs.load(SeqCst), 0, "nothing of the body ran");
    assert_eq!(restart(Some(&claims(Permissions::ADMIN)), &runs), Ok(1));
}

/// Keeps what it was told.
struct Telling {
    permissions: Permissions,
    told: RefCell<Vec<&'static str>>,
}

impl Context for Telling {
    fn identity(&self) -> Option<Identity<'_>> {
        Some(Identity { user: "alice", permissions: self.permissions })
    }

    fn denied(&self, why: Denied) {
        self.told.borrow_mut().push(why.code());
    }
}

impl Telling {
    #[daur_std::require_permission("read, write", context = self)]
    fn both(&self, suffix: &str) -> Result<String, Denied> {
        Ok(format!("both{suffix}"))
    }
}

#[test]
fn the_context_may_be_self_and_is_told_of_each_refusal() {
    let mut telling = Telling { permissions: Permissions::READ, told: RefCell::default() };
    assert_eq!(telling.both("!"), Err(Denied::Forbidden));
    telling.permissions = Permissions::ALL;
    assert_eq!(telling.both("!").as_deref(), Ok("both!"));
    assert_eq!(*telling.told.borrow(), ["forbidden"]);
}

/// A table of scopes of its own kind: what the attribute needs of one is a const `by_name`.
struct Orders;

impl Orders {
    const fn by_name(&self, name: &str) -> Option<Permissions> {
        // As good as any other bit.
        if name.len() == "orders.refund".len() { Some(Permissions::WRITE) } else { None }
    }
}

const ORDERS: Orders = Orders;

struct Service {
    caller: Arc<Claims>,
}

impl Service {
    #[daur_std::require_permission("read, orders.refund", scopes = ORDERS, context = *self.caller)]
    async fn refund(&self, amount: u32) -> Result<u32, Denied> {
        tokio::task::yield_now().await;
        Ok(amount)
    }

    #[daur_core::require_permission("write")]
    fn later<'a>(&'a self, ctx: &'a Claims) -> impl Future<Output = Result<usize, Error>> + use<'a> {
        let length = self.caller.sub.len();
        async move {
            tokio::task::yield_now().await;
            Ok(length + ctx.sub.len())
        }
    }

    #[daur_std::require_auth]
    fn boxed<'a>(&'a self, context: Claims) -> Pin<Box<dyn Future<Output = Result<usize, Error>> + Send + 'a>> {
        Box::pin(async move { Ok(self.caller.sub.len() + context.sub.len()) })
    }
}

#[tokio::test]
async fn an_async_function_is_asked_at_its_first_poll_and_stays_send() {
    fn send<T: Send>(future: T) -> T {
        future
    }
    let service = Service { caller: Arc::new(claims(Permissions::READ)) };
    let refund = send(service.refund(7));
    assert_eq!(refund.await, Err(Denied::Forbidden));
    let writer = Service { caller: Arc::new(claims(Permissions::READ.with(Permissions::WRITE))) };
    assert_eq!(writer.refund(7).await, Ok(7));
    assert_eq!(send(service.later(&writer.caller)).await, Ok(10));
    assert_eq!(service.later(&service.caller).await, Err(FORBIDDEN));
    assert_eq!(service.boxed(*writer.caller).await, Ok(10));
    assert_eq!(service.boxed(Claims::default()).await, Err(NOBODY));
}

static ATTEMPTS: AtomicU32 = AtomicU32::new(0);

#[daur_std::retry(max_attempts = 3, delay = "0ms", max_delay = "0ms")]
#[daur_std::require_permission("admin")]
fn written_last(claims: &Claims) -> Result<(), Error> {
    ATTEMPTS.fetch_add(1, SeqCst);
    Err(Error::Own)
}

#[test]
fn written_last_it_stands_in_front_of_the_retries() {
    assert_eq!(written_last(&claims(Permissions::READ)), Err(FORBIDDEN));
    assert_eq!(ATTEMPTS.load(SeqCst), 0);
    assert_eq!(written_last(&claims(Permissions::ADMIN)), Err(Error::Own));
    assert_eq!(ATTEMPTS.load(SeqCst), 3);
}

struct Shop;

impl Shop {
    const SCOPES: Scopes = Scopes::new(&["orders.refund"]);

    #[daur_std::require_permission("orders.refund", scopes = Self::SCOPES)]
    fn refund(&self, claims: &Claims) -> Result<u8, Denied> {
        Ok(1)
    }

    #[daur_core::require_permission(" read ,orders.refund", scopes = Shop::SCOPES)]
    async fn read_too<C: Context + Sync>(&self, context: C) -> Result<u8, Denied> {
        Ok(2)
    }
}

#[daur_std::require_auth(context = extension)]
fn generic<T>(other: &T, extension: impl Context) -> std::result::Result<T, Denied>
where
    T: Clone,
{
    Ok(other.clone())
}

trait Job {
    #[daur_std::require_auth(context = self)]
    fn run(&self) -> Result<u8, Denied>
    where
        Self: Context,
    {
        Ok(3)
    }
}

impl Job for Claims {}

macro_rules! made {
    ($name:ident, $permission:literal, $context:ident, $returned:ty) => {
        #[daur_std::require_permission($permission, context = $context)]
        fn $name($context: &Claims) -> $returned {
            Ok(4)
        }
    };
}
made!(made, "write", who, Result<u8, Denied>);

#[tokio::test]
async fn it_stands_on_methods_of_traits_on_generics_and_in_macros() {
    let (reader, nobody) = (claims(Permissions::READ), Claims::default());
    let refunds = claims(Shop::SCOPES.by_name("orders.refund").unwrap());
    assert_eq!((Shop.refund(&reader), Shop.refund(&refunds)), (Err(Denied::Forbidden), Ok(1)));
    assert_eq!(Shop.read_too(&reader).await, Err(Denied::Forbidden));
    assert_eq!(Shop.read_too(&refunds).await, Err(Denied::Forbidden), "all that is named");
    let both = refunds.permissions.with(Permissions::READ);
    assert_eq!(Shop.read_too(Some(claims(both))).await, Ok(2));
    assert_eq!((generic(&7, reader), generic(&7, None::<Claims>)), (Ok(7), Err(Denied::Unauthenticated)));
    assert_eq!((reader.run(), nobody.run()), (Ok(3), Err(Denied::Unauthenticated)));
    assert_eq!((made(&reader), made(&claims(Permissions::ALL))), (Err(Denied::Forbidden), Ok(4)));
}
