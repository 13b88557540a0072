//! What `#[require_auth]` and `#[require_permission]` refuse.
#![allow(unused_variables, reason = "only what the compiler says matters")]
use daur_core::security::manager::Denied;
use daur_core::security::token::Claims;

#[daur_std::require_auth]
fn nobody_is_asked(amount: u32) -> Result<u32, Denied> {
    Ok(amount)
}

#[daur_core::require_permission("admin")]
fn not_a_context(ctx: &str) -> Result<usize, Denied> {
    Ok(ctx.len())
}

#[daur_std::require_permission("admin, root")]
fn no_such_permission(claims: &Claims) -> Result<(), Denied> {
    Ok(())
}

#[daur_std::require_permission]
fn no_permission(claims: &Claims) -> Result<(), Denied> {
    Ok(())
}

#[daur_std::require_auth(context = user)]
fn no_such_argument(claims: &Claims) -> Result<(), Denied> {
    Ok(())
}

#[daur_std::require_auth]
fn no_result(claims: &Claims) -> u32 {
    7
}

#[daur_std::require_auth]
fn no_conversion(claims: &Claims) -> Result<(), std::num::ParseIntError> {
    Ok(())
}

#[daur_std::require_auth]
const fn at_compile_time(claims: &Claims) -> Result<(), Denied> {
    Ok(())
}

#[daur_std::require_auth(role = "admin")]
fn no_such_option(claims: &Claims) -> Result<(), Denied> {
    Ok(())
}

fn main() {}
