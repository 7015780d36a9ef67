//! Prose: stories, sentences, book chapters, short definitions, facts about countries.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use serde::Deserialize;

use super::{clean, files, is_english, json_lines, text};
use crate::dataset::Document;
use crate::generate::words::plural_of;
use crate::{Error, Result};

/// Aim for the length of one document cut from a book, in bytes.
const CHUNK: usize = 1_500;

/// Books whose prose is plain enough for a model of a few million parameters, by file stem.
const PLAIN_BOOKS: &[&str] = &[
    "Great Big Treasury of Beatrix Potter",
    "Aesop's Fables",
    "Grimms' Fairy Tales",
    "Andersen's Fairy Tales",
    "The Wonderful Wizard of Oz",
    "The Marvelous Land of Oz",
    "Ozma of Oz",
    "Dorothy and the Wizard in Oz",
    "The Life and Adventures of Santa Claus",
    "Alice's Adventures in Wonderland",
    "Through the Looking-Glass",
    "The Story of Doctor Dolittle",
    "The Railway Children",
    "Five Children and It",
    "The Book of Dragons",
    "Heidi",
    "Peter Pan",
    "The Adventures of Pinocchio",
    "The Wind in the Willows",
    "The Secret Garden",
    "A Little Princess",
    "Black Beauty",
    "Aladdin and the Magic Lamp",
    "The Happy Prince & Other Tales",
    "The Princess and the Goblin",
];

/// The children's books among the public-domain set, cut at paragraphs into short documents.
pub(super) fn books(folder: &Path) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for path in files(folder, "md")? {
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        if PLAIN_BOOKS.contains(&stem.trim()) {
            documents.extend(chunks(&text(&path)?));
        }
    }
    Ok(documents)
}

/// Paragraphs after the header rule, headings and front matter left out, joined to chunks.
fn chunks(book: &str) -> Vec<Document> {
    let body = book
        .split_once("-------")
        .map_or(book, |(_, body)| body)
        .replace("\r\n", "\n");
    let (mut documents, mut chunk) = (Vec::new(), String::new());
    for paragraph in body.split("\n\n") {
        let paragraph = clean(&paragraph.replace(['*', '_'], ""));
        if paragraph.is_empty() || paragraph.starts_with('#') || !is_english(&paragraph) {
            continue;
        }
        if !chunk.is_empty() {
            chunk.push('\n');
        }
        chunk.push_str(&paragraph);
        if chunk.len() >= CHUNK {
            documents.push(Document::Text(std::mem::take(&mut chunk)));
        }
    }
    documents.extend((chunk.len() > CHUNK / 4).then_some(Document::Text(chunk)));
    documents
}

/// Picture-book stories: the title, then the pages, one per line; credits left out.
pub(super) fn storybooks(folder: &Path) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for path in files(folder, "md")? {
        let story = text(&path)?;
        // A page begins with a line of "##"; the lines within one are broken to fit a picture.
        let mut pages = Vec::new();
        for line in story.lines().filter(|line| !line.starts_with("* ")) {
            match (line.strip_prefix('#'), pages.last_mut()) {
                (None, Some(page)) => *page = format!("{page} {line}"),
                (Some(title), _) => pages.push(title.trim_start_matches('#').to_owned()),
                (None, None) => pages.push(line.to_owned()),
            }
        }
        let pages = pages.iter().map(|page| clean(page));
        let story = pages
            .filter(|page| !page.is_empty())
            .collect::<Vec<_>>()
            .join("\n");
        if is_english(&story) && story.len() > 100 {
            documents.push(Document::Text(story));
        }
    }
    Ok(documents)
}

/// Single sentences, without the quotation marks of the books they come from.
pub(super) fn sentences(folder: &Path) -> Result<Vec<Document>> {
    let mut sentences = BTreeSet::new();
    for path in files(folder, "txt")? {
        for line in text(&path)?.lines() {
            let line = clean(&line.replace('"', ""));
            let line = line.strip_prefix('\'').map_or(line.as_str(), str::trim);
            let words = line.split(' ').count();
            if is_english(line) && (3..=20).contains(&words) && line.ends_with(['.', '!', '?']) {
                sentences.insert(line.to_owned());
            }
        }
    }
    Ok(sentences.into_iter().map(Document::Text).collect())
}

/// One sense of a word, short enough to learn.
pub(super) struct Gloss {
    pub(super) word: String,
    pub(super) part: &'static str,
    pub(super) meaning: String,
}

/// The first short sense of each common, short word.
///
/// A word is common when the glosses themselves use it often: whoever defines words does so with
/// the words that everyone knows.
pub(super) fn common_glosses(folder: &Path) -> Result<Vec<Gloss>> {
    let path = folder.join("oewn_glosses.tsv");
    let table = text(&path)?;
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(1)
        .map(|line| line.split('\t').collect())
        .collect();
    if rows.iter().all(|row| row.len() < 3) {
        return Err(Error::format(
            &path,
            "no line has a word, a part of speech and a definition",
        ));
    }
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for row in &rows {
        for word in row
            .iter()
            .skip(2)
            .flat_map(|cell| cell.split(|c: char| !c.is_alphabetic()))
        {
            *uses.entry(word).or_default() += 1;
        }
    }
    let mut glosses = HashMap::new();
    for row in &rows {
        let [members, part, meaning, ..] = row.as_slice() else {
            continue;
        };
        let part = match *part {
            "n" => "noun",
            "v" => "verb",
            "a" | "s" => "adjective",
            _ => continue,
        };
        let word = members.split(',').next().unwrap_or_default().trim();
        let simple = word.len() >= 3 && word.bytes().all(|byte| byte.is_ascii_lowercase());
        let short = meaning.len() <= 60 && !meaning.contains(['(', '`', '‘']);
        if simple && short && uses.get(word).is_some_and(|&n| n >= 20) {
            glosses.entry(word.to_owned()).or_insert_with(|| Gloss {
                word: word.to_owned(),
                part,
                meaning: clean(meaning),
            });
        }
    }
    let mut glosses: Vec<_> = glosses.into_values().collect();
    glosses.sort_by(|a, b| a.word.cmp(&b.word));
    Ok(glosses)
}

/// Definitions as lines of a small dictionary.
pub(super) fn glosses(folder: &Path) -> Result<Vec<Document>> {
    let lines = common_glosses(folder)?.into_iter().map(|gloss| {
        let Gloss {
            word,
            part,
            meaning,
        } = gloss;
        let forms = if part == "noun" {
            format!(" (plural {})", plural_of(&word))
        } else {
            String::new()
        };
        Document::Text(format!("{word}, {part}{forms}: {meaning}."))
    });
    Ok(lines.collect())
}

#[derive(Deserialize)]
struct Country {
    /// Absent for what is no country (the European Union): nothing is said about it.
    #[serde(default)]
    name: String,
    #[serde(default)]
    capital: Option<String>,
    #[serde(default)]
    location: Option<String>,
    #[serde(default)]
    languages: Option<String>,
}

/// Sentences about countries: capital, place, first language.
pub(super) fn facts(folder: &Path) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for path in files(folder, "jsonl")? {
        for country in json_lines::<Country>(&path)? {
            documents.extend(sentences_about(&country));
        }
    }
    Ok(documents)
}

fn sentences_about(country: &Country) -> Vec<Document> {
    let name = clean(&country.name);
    // "Algiers; note - ..." or "Tokyo (official)": the first plain words are the fact.
    let first = |value: &Option<String>| {
        let value = value
            .as_deref()?
            .split([';', '('])
            .next()?
            .trim()
            .to_owned();
        (!value.is_empty() && value.len() < 90 && is_english(&value)).then_some(value)
    };
    let capital = first(&country.capital).map(|city| {
        let verb = if city.contains(',') { "are" } else { "is" };
        format!("The capital of {name} {verb} {city}.")
    });
    let place = first(&country.location).map(|place| format!("{name} lies in {place}."));
    let language = country
        .languages
        .as_deref()
        .and_then(|languages| languages.split([',', '(', ' ', ';']).next())
        .filter(|language| language.len() > 2 && is_english(language))
        .map(|language| format!("Many people in {name} speak {language}."));
    if name.is_empty() || !is_english(&name) {
        return Vec::new();
    }
    [capital, place, language]
        .into_iter()
        .flatten()
        .map(Document::Text)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_lose_header_headings_and_wrapping() {
        let long = "A plain sentence about a goat.\n".repeat(60);
        let book = format!(
            "# Title: X\n\n-------\n\n## ONE\n\nThe goat\nate *all* grass.\n\n{long}\n\nEnd."
        );
        let documents = chunks(&book);
        let Document::Text(first) = &documents[0] else {
            panic!()
        };
        assert!(
            first.starts_with("The goat ate all grass.\nA plain sentence"),
            "{first}"
        );
        assert_eq!(documents.len(), 1);
    }

    #[test]
    fn countries_become_sentences() {
        let country = Country {
            name: "Nowhere".into(),
            capital: Some("Noplace; note - moved".into()),
            location: None,
            languages: Some("Nonish 90%, other".into()),
        };
        assert_eq!(
            sentences_about(&country),
            [
                Document::Text("The capital of Nowhere is Noplace.".into()),
                Document::Text("Many people in Nowhere speak Nonish.".into())
            ]
        );
    }
}
