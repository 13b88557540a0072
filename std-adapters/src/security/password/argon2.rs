//! Argon2id beside PBKDF2, for a [`Hasher`](super::Hasher).

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use daur_core::security::keys::same;
use daur_core::security::password::{self, HASH_LEN};
use zeroize::Zeroize;

use super::{ConfigError, Error, Pbkdf2, Scheme, random};

/// Says what a hash costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// Memory, in KiB; at least 8 a lane.
    pub memory_kib: u32,
    /// Passes over it; at least 1.
    pub passes: u32,
    /// Lanes, which are filled one after the other here; at least 1.
    pub lanes: u32,
}

/// Says what new hashes are, and which stored ones are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// What new hashes are made with.
    pub new: New,
    /// The most that a stored Argon2id hash may cost. Default 256 MiB, 16 passes, 16 lanes: as many times the memory
    /// as hashes are under way at once.
    pub max: Costs,
}

/// Says what new hashes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum New {
    /// Argon2id at these costs; a right password that is stored as PBKDF2 becomes one.
    Argon2id(Costs),
    /// PBKDF2 of so many iterations, for hashes that devices check too; what is stored as Argon2id becomes one.
    Pbkdf2(u32),
}

impl Costs {
    /// 19 MiB, 2 passes, 1 lane (OWASP).
    pub const DEFAULT: Self = Self { memory_kib: 19 * 1_024, passes: 2, lanes: 1 };

    const fn within(self, max: Self) -> bool {
        self.passes >= 1
            && self.lanes >= 1
            && self.lanes <= max.lanes
            && self.passes <= max.passes
            && self.memory_kib <= max.memory_kib
            && self.memory_kib / 8 >= self.lanes
    }
}

impl Config {
    /// New hashes are Argon2id.
    pub const DEFAULT: Self =
        Self { new: New::Argon2id(Costs::DEFAULT), max: Costs { memory_kib: 256 * 1_024, passes: 16, lanes: 16 } };

    /// Checks the fields.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        match self.new {
            New::Argon2id(costs) if !costs.within(self.max) => Err(ConfigError::Costs),
            New::Pbkdf2(iterations) if iterations < password::MIN_ITERATIONS => Err(ConfigError::Iterations),
            New::Pbkdf2(iterations) if iterations > password::MAX_ITERATIONS => Err(ConfigError::Iterations),
            _ => Ok(()),
        }
    }
}

/// Checks Argon2id and PBKDF2 hashes alike, and makes new ones as its config says.
///
/// # Rules
/// 1. The costs of a stored hash are held against the maximum before any memory is taken.
/// 2. Only `$argon2id$v=19$` with `m`, `t` and `p` is looked at: no other variant, version or parameter.
/// 3. Whatever is not what a new hash would be, or costs less, needs a rehash.
/// 4. The memory is wiped before it is given back.
///
/// # Errors
/// [`ConfigError`]; then those of [`Scheme`].
///
/// # Example
/// ```
/// use daur_std::security::password::argon2::{Argon2id, Config as Argon2Config, Costs, New};
/// use daur_std::security::password::{Config, Hasher};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// # runtime.block_on(async {
/// let costs = Costs { memory_kib: 64, ..Costs::DEFAULT }; // for a test; the default takes 19 MiB
/// let scheme = Argon2id::try_new(Argon2Config { new: New::Argon2id(costs), ..Argon2Config::DEFAULT })?;
/// let hasher = Hasher::with_scheme(scheme, Config::DEFAULT)?;
///
/// let pbkdf2 = Hasher::try_new(Config { iterations: 1_000, ..Config::DEFAULT })?;
/// let old = pbkdf2.hash("correct horse".to_owned()).await?;
/// let verified = hasher.verify("correct horse".to_owned(), Some(&old)).await?;
/// assert!(verified.matches);
/// assert!(verified.rehash.is_some_and(|stored| stored.starts_with("$argon2id$v=19$m=64,t=2,p=1$")));
///
/// let four_gib = "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$c29tZWhhc2hzb21laGFzaA";
/// assert!(hasher.verify("correct horse".to_owned(), Some(four_gib)).await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # References
/// RFC 9106.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2id {
    config: Config,
}

/// What a stored Argon2id hash says.
struct Stored {
    costs: Costs,
    salt: Salt,
    hash: Output,
}

impl Argon2id {
    /// One that does what `config` says.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        match config.validate() {
            Ok(()) => Ok(Self { config }),
            Err(error) => Err(error),
        }
    }

    fn read(&self, stored: &str) -> Result<Stored, Error> {
        let malformed = || Error::Stored { why: "it is not of the form $argon2id$v=19$m=..,t=..,p=..$salt$hash" };
        let phc = PasswordHash::new(stored).map_err(|_| malformed())?;
        let cost = |name| phc.params.get_decimal(name).ok_or_else(malformed);
        let costs = Costs { memory_kib: cost("m")?, passes: cost("t")?, lanes: cost("p")? };
        if phc.algorithm != ARGON2ID_IDENT
            || phc.version != Some(Version::V0x13.into())
            || phc.params.iter().count() != 3
        {
            return Err(malformed());
        }
        let (Some(salt), Some(hash)) = (phc.salt, phc.hash) else { return Err(malformed()) };
        if salt.len() < argon2::MIN_SALT_LEN || hash.len() < 16 {
            return Err(Error::Stored { why: "its salt has fewer than 8 bytes, or its hash fewer than 16" });
        }
        if !costs.within(self.config.max) {
            return Err(Error::Stored { why: "its costs are out of bounds" });
        }
        Ok(Stored { costs, salt, hash })
    }
}

fn is_argon2(stored: &str) -> bool {
    stored.starts_with("$argon2")
}

/// The hash, as long as `out`.
fn derive(password: &str, salt: &[u8], costs: Costs, out: &mut [u8]) -> Result<(), Error> {
    let refused = |_| Error::Stored { why: "Argon2id does not take its parameters" };
    let params = Params::new(costs.memory_kib, costs.passes, costs.lanes, Some(out.len())).map_err(refused)?;
    let mut memory: Vec<Block> = Vec::new();
    // Not `vec!`, which ends the process for want of memory.
    memory.try_reserve_exact(params.block_count()).map_err(|_| Error::Memory)?;
    memory.resize(params.block_count(), Block::new());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let derived = argon2.hash_password_into_with_memory(password.as_bytes(), salt, out, &mut memory);
    memory.iter_mut().for_each(Zeroize::zeroize);
    derived.map_err(refused)
}

impl Scheme for Argon2id {
    fn hash(&self, password: &str) -> Result<String, Error> {
        let costs = match self.config.new {
            New::Pbkdf2(iterations) => return Pbkdf2 { iterations }.hash(password),
            New::Argon2id(costs) => costs,
        };
        if password.contains('\0') {
            return Err(Error::Nul);
        }
        let salt = random::<{ password::SALT_LEN }>().map_err(Error::Random)?;
        let mut hash = [0; HASH_LEN];
        derive(password, &salt, costs, &mut hash)?;
        let broken = || Error::Stored { why: "Argon2id does not take its parameters" };
        let mut params = ParamsString::new();
        for (name, cost) in [("m", costs.memory_kib), ("t", costs.passes), ("p", costs.lanes)] {
            params.add_decimal(name, cost).map_err(|_| broken())?;
        }
        let stored = PasswordHash {
            algorithm: ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params,
            salt: Some(Salt::new(&salt).map_err(|_| broken())?),
            hash: Some(Output::new(&hash).map_err(|_| broken())?),
        };
        Ok(stored.to_string())
    }

    fn verify(&self, password: &str, stored: &str) -> Result<bool, Error> {
        if !is_argon2(stored) {
            return Ok(password::verify(password, stored)?);
        }
        let stored = self.read(stored)?;
        let mut derived = vec![0; stored.hash.len()];
        derive(password, &stored.salt, stored.costs, &mut derived)?;
        let matches = same(&derived, stored.hash.as_bytes());
        derived.zeroize();
        Ok(matches && !password.contains('\0'))
    }

    fn needs_rehash(&self, stored: &str) -> bool {
        match self.config.new {
            New::Pbkdf2(iterations) => password::needs_rehash(stored, iterations),
            New::Argon2id(new) => self.read(stored).map_or(true, |stored| {
                let old = stored.costs;
                old.memory_kib < new.memory_kib || old.passes < new.passes || old.lanes != new.lanes
            }),
        }
    }

    fn dummy(&self, password: &str) {
        match self.config.new {
            New::Pbkdf2(iterations) => Pbkdf2 { iterations }.dummy(password),
            New::Argon2id(costs) => {
                let mut hash = [0; HASH_LEN];
                let derived = derive(password, &[0; password::SALT_LEN], costs, &mut hash);
                std::hint::black_box(derived.is_ok() && same(&hash, &[0; HASH_LEN]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::manager::{ByScheme, Checked, Passwords};

    const SMALL: Costs = Costs { memory_kib: 64, passes: 1, lanes: 1 };

    fn scheme(new: New) -> Argon2id {
        Argon2id::try_new(Config { new, ..Config::DEFAULT }).unwrap()
    }

    /// Of the reference implementation's `test.c`.
    const REFERENCE: [(&str, &str); 3] = [
        ("password", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"),
        ("password", "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"),
        ("differentpassword", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$C4TWUs9rDEvq7w3+J4umqA32aWKB1+DSiRuBfYxFj94"),
    ];

    #[test]
    fn the_reference_implementations_vectors_verify() {
        let scheme = scheme(New::Argon2id(SMALL));
        for (password, stored) in REFERENCE {
            assert!(scheme.verify(password, stored).unwrap(), "{stored}");
            assert!(!scheme.verify("Password", stored).unwrap());
            assert!(!scheme.verify(&format!("{password}\0"), stored).unwrap());
        }
    }

    #[test]
    fn rule_1_costs_out_of_bounds_are_refused_before_memory_is_taken() {
        let scheme = scheme(New::Argon2id(SMALL));
        // 4 GiB, 4 TiB, years of passes, and what the algorithm itself does not take.
        for costs in [
            "m=4194304,t=2,p=1",
            "m=4294967295,t=2,p=1",
            "m=262145,t=1,p=1",
            "m=64,t=4294967295,p=1",
            "m=64,t=17,p=1",
            "m=262144,t=1,p=17",
            "m=262144,t=1,p=4294967295",
            "m=7,t=1,p=1",
            "m=31,t=1,p=4",
            "m=64,t=0,p=1",
            "m=64,t=1,p=0",
        ] {
            let stored = format!("$argon2id$v=19${costs}$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4");
            let refused = scheme.verify("password", &stored);
            assert!(matches!(refused, Err(Error::Stored { why: "its costs are out of bounds" })), "{costs}");
            assert!(scheme.needs_rehash(&stored));
        }
    }

    #[test]
    fn rule_2_no_other_variant_version_or_parameter_is_looked_at() {
        let scheme = scheme(New::Argon2id(SMALL));
        let hash = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        for head in [
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$",
            "$argon2d$v=19$m=256,t=2,p=1$c29tZXNhbHQ$",
            "$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$",
            "$argon2id$m=256,t=2,p=1$c29tZXNhbHQ$",
            "$argon2id$v=19$m=256,t=2$c29tZXNhbHQ$",
            "$argon2id$v=19$m=256,t=2,p=1,keyid=AAAA$c29tZXNhbHQ$",
            "$argon2id$v=19$m=256,m=256,t=2,p=1$c29tZXNhbHQ$",
            "$argon2id$v=19$m=0256,t=2,p=1$c29tZXNhbHQ$",
            "$argon2id$v=19$m=+256,t=2,p=1$c29tZXNhbHQ$",
            "$argon2id$v=19$m=99999999999,t=2,p=1$c29tZXNhbHQ$",
            "$argon2id$v=19$m=256,t=2,p=1$c29t$",
            "$argon2id$v=19$m=256,t=2,p=1$$",
            "$argon2id$v=19$m=256,t=2,p=1$",
            "$argon2",
        ] {
            let refused = scheme.verify("password", &format!("{head}{hash}"));
            assert!(matches!(refused, Err(Error::Stored { .. })), "{head}");
        }
        for tail in
            ["", "nf65", "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4=", "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/5"]
        {
            let refused = scheme.verify("password", &format!("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ${tail}"));
            assert!(matches!(refused, Err(Error::Stored { .. })), "{tail}");
        }
    }

    #[test]
    fn rule_3_what_is_stored_goes_over_to_what_is_new() {
        let argon2 = scheme(New::Argon2id(SMALL));
        let pbkdf2 = scheme(New::Pbkdf2(1_000));
        let [a, b] = [&argon2, &pbkdf2].map(|scheme| scheme.hash("right").unwrap());
        assert!(a.starts_with("$argon2id$v=19$m=64,t=1,p=1$") && b.starts_with("$pbkdf2-sha256$i=1000,"));
        for scheme in [&argon2, &pbkdf2] {
            for stored in [&a, &b] {
                assert!(scheme.verify("right", stored).unwrap());
                assert!(!scheme.verify("wrong", stored).unwrap());
            }
            scheme.dummy("right");
            assert!(matches!(scheme.hash("a\0"), Err(Error::Nul)));
        }
        assert!(argon2.needs_rehash(&b) && pbkdf2.needs_rehash(&a));
        assert!(!argon2.needs_rehash(&a) && !pbkdf2.needs_rehash(&b));
        for more in [Costs { memory_kib: 65, ..SMALL }, Costs { passes: 2, ..SMALL }] {
            assert!(scheme(New::Argon2id(more)).needs_rehash(&a));
        }
        assert_ne!(argon2.hash("right").unwrap(), a, "each has its own salt");
    }

    #[test]
    fn a_manager_checks_both_and_a_hash_that_cannot_be_used_is_nobodys() {
        let argon2 = scheme(New::Argon2id(SMALL));
        let check = |given: &str, stored: Option<&str>| ByScheme(argon2).check(given, stored).unwrap();
        let [a, b] = [argon2, scheme(New::Pbkdf2(1_000))].map(|scheme| scheme.hash("right").unwrap());
        assert!(check("right", Some(&a)) == Checked { matches: true, rehash: None });
        assert!(check("right", Some(&b)).rehash.is_some_and(|stored| stored.starts_with("$argon2id$")));
        let no = Checked { matches: false, rehash: None };
        let huge = "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$c29tZWhhc2hzb21laGFzaA";
        for (given, stored) in
            [("wrong", Some(&*a)), ("", Some("")), ("!", Some("!")), ("right", Some(huge)), ("", None)]
        {
            assert!(check(given, stored) == no, "{stored:?}");
        }
    }

    #[test]
    fn a_config_that_cannot_be_is_refused() {
        assert!(Argon2id::try_new(Config::DEFAULT).is_ok());
        let max = Config::DEFAULT.max;
        for costs in [
            Costs { memory_kib: 7, ..SMALL },
            Costs { lanes: 9, ..SMALL },
            Costs { passes: 0, ..SMALL },
            Costs { lanes: 0, ..SMALL },
            Costs { memory_kib: max.memory_kib + 1, ..SMALL },
            Costs { passes: max.passes + 1, ..SMALL },
        ] {
            let config = Config { new: New::Argon2id(costs), ..Config::DEFAULT };
            assert_eq!(Argon2id::try_new(config), Err(ConfigError::Costs), "{costs:?}");
        }
        for iterations in [999, 10_000_001] {
            let config = Config { new: New::Pbkdf2(iterations), ..Config::DEFAULT };
            assert_eq!(Argon2id::try_new(config), Err(ConfigError::Iterations));
        }
    }
}
