//! What a person might not want to send: identifiers, keys, addresses, names, health and money.
//!
//! [`detect`] reads a text in English, Korean or Japanese and says which kinds of private matter it
//! found, and where; it never keeps or prints the text. What it found can only
//! [raise](crate::privacy::Thread::raise) the level of a conversation. It has no model and no
//! regular expressions: words, shapes and check digits, in one pass whose time is linear in the
//! length. What it finds and what it misses is in docs/privacy.md.
//!
//! ```
//! use sprat_route::{detect::{Kind, detect}, privacy::Level};
//! let findings = detect("Is 4111 1111 1111 1111 a valid card?");
//! assert_eq!(findings.iter().next().map(|finding| finding.kind), Some(Kind::Card));
//! assert_eq!(findings.level(), Level::Private);
//! assert_eq!(detect("How do I treat a burn?").level(), Level::Open);
//! ```

mod address;
mod checks;
mod code;
mod lexicon;
mod name;
mod number;
mod scan;
mod text;
mod words;

use core::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{Error, privacy::Level};

/// A kind of private matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// A payment card's number.
    Card,
    /// An IBAN.
    Iban,
    /// Another account's number, said to be one.
    Account,
    /// A number of a person or a document: resident registration, My Number, social security, passport, ...
    NationalId,
    /// An API key, a token, a private key, a login in an address.
    Secret,
    /// A password or a PIN, said to be one.
    Password,
    /// A postal address.
    Address,
    /// A person's name, said to be one.
    Name,
    /// A date of birth, said to be one.
    BirthDate,
    /// Health, of the person or somebody close.
    Health,
    /// Income, debts or possessions, of the person or somebody close.
    Money,
}

impl Kind {
    /// All kinds, in the order of the enum.
    pub const ALL: [Self; 13] = [
        Self::Email,
        Self::Phone,
        Self::Card,
        Self::Iban,
        Self::Account,
        Self::NationalId,
        Self::Secret,
        Self::Password,
        Self::Address,
        Self::Name,
        Self::BirthDate,
        Self::Health,
        Self::Money,
    ];
}

/// One piece of private matter: what it is and where, not what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// Where it is: bytes of the text that was given.
    pub range: Range<usize>,
    /// The level that it calls for.
    pub level: Level,
}

/// What [`detect`] has found, in the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The highest level that any of them calls for; [`Level::Open`] if there is none.
    pub fn level(&self) -> Level {
        self.iter()
            .map(|finding| finding.level)
            .max()
            .unwrap_or_default()
    }

    /// Which kinds, each once.
    pub fn kinds(&self) -> Vec<Kind> {
        let found = |kind: &Kind| self.iter().any(|finding| finding.kind == *kind);
        Kind::ALL.into_iter().filter(found).collect()
    }
}

/// Which level each kind calls for. It is data: `detect.json` is the one that this crate ships.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels([Level; Kind::ALL.len()]);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    levels: std::collections::BTreeMap<Kind, Level>,
}

impl Levels {
    /// The table that this crate ships: that of `detect.json`, which a test compares. It stands here
    /// too so that a page need not read it.
    pub fn builtin() -> &'static Self {
        use Level::{Ask, Private};
        const BUILTIN: Levels = Levels([
            Ask, Ask, Private, Private, Private, Private, Private, Private, Ask, Ask, Ask, Ask, Ask,
        ]);
        &BUILTIN
    }

    /// Reads `{"version": 1, "levels": {"email": "ask", ...}}`, with every kind.
    ///
    /// # Errors
    /// [`Error::Levels`] where it is malformed, of another version, or lacks a kind: a kind that is
    /// to be let through says `"open"`.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        let file: File =
            serde_json::from_slice(bytes).map_err(|error| Error::Levels(error.to_string()))?;
        if file.version != 1 {
            return Err(Error::Levels(format!(
                "it has version {}, not 1",
                file.version
            )));
        }
        let mut levels = [Level::Private; Kind::ALL.len()];
        for (level, kind) in levels.iter_mut().zip(Kind::ALL) {
            let missing = || Error::Levels(format!("it has no level for {kind:?}"));
            *level = *file.levels.get(&kind).ok_or_else(missing)?;
        }
        Ok(Self(levels))
    }

    /// The level that this kind calls for.
    pub fn of(&self, kind: Kind) -> Level {
        self.0[kind as usize]
    }
}

/// The private matter in a text, with the levels of [`Levels::builtin`].
pub fn detect(text: &str) -> Findings {
    detect_with(text, Levels::builtin())
}

/// The same with other levels. A kind whose level is open is not among the findings.
pub fn detect_with(text: &str, levels: &Levels) -> Findings {
    let folded = text::Text::new(text);
    let finding = |(kind, start, end)| Finding {
        kind,
        range: folded.range(start, end),
        level: levels.of(kind),
    };
    let all = scan::scan(&folded).into_iter().map(finding);
    Findings(all.filter(|finding| finding.level > Level::Open).collect())
}

#[cfg(test)]
mod tests;
