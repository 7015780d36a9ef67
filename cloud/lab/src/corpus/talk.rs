//! Conversations: small talk, dialogues, instructions, questions about words.

use std::path::Path;

use serde::Deserialize;

use super::prose::{Gloss, common_glosses};
use super::{clean, files, is_english, json, json_lines, text};
use crate::dataset::Document;
use crate::generate::Role;
use crate::{Error, Result, split};

/// A dialogue longer than this many turns is cut.
const TURNS: usize = 6;
/// A turn longer than this many bytes ends the dialogue before it.
const TURN_BYTES: usize = 140;
/// A question and its answer longer than this together are left out.
const PAIR_BYTES: usize = 320;

/// A question and its answer as a document, when both are short English.
fn pair(question: &str, answer: &str) -> Option<Document> {
    let (question, answer) = (clean(question), clean(answer));
    let fits = question.len() + answer.len() <= PAIR_BYTES;
    let good =
        !question.is_empty() && !answer.is_empty() && is_english(&question) && is_english(&answer);
    (fits && good)
        .then(|| Document::Conversation(vec![(Role::User, question), (Role::Assistant, answer)]))
}

/// Alternating turns as a document; cut at a long turn and after an even number of them.
fn alternate(turns: impl Iterator<Item = String>) -> Option<Document> {
    let mut turns: Vec<String> = turns
        .map(|turn| clean(&turn))
        .take_while(|turn| !turn.is_empty() && turn.len() <= TURN_BYTES && is_english(turn))
        .take(TURNS)
        .collect();
    turns.truncate(turns.len() / 2 * 2);
    let roles = [Role::User, Role::Assistant].into_iter().cycle();
    (turns.len() >= 2).then(|| Document::Conversation(roles.zip(turns).collect()))
}

/// The intents of the friendly persona: all ways to ask, and the answer.
pub(super) fn chitchat_intents(folder: &Path) -> Result<Vec<(Vec<String>, String)>> {
    let path = folder.join("english/qna_chitchat_friendly.qna");
    let intents = parse_qna(&text(&path)?);
    if intents.is_empty() {
        return Err(Error::format(
            &path,
            "it has no question followed by an answer",
        ));
    }
    Ok(intents)
}

/// Reads QnA Maker's Markdown: `# ? question`, `- variant` lines, the answer in a fence.
fn parse_qna(text: &str) -> Vec<(Vec<String>, String)> {
    let (mut intents, mut questions) = (Vec::new(), Vec::new());
    let mut answer: Option<String> = None;
    for line in text.lines().map(str::trim) {
        if let Some(lines) = &mut answer {
            if line.starts_with("```") {
                let answer = clean(&answer.take().unwrap_or_default());
                if !questions.is_empty() && !answer.is_empty() {
                    intents.push((std::mem::take(&mut questions), answer));
                }
            } else {
                lines.push_str(line);
                lines.push(' ');
            }
        } else if line.starts_with("```") {
            answer = Some(String::new());
        } else if let Some(question) = line.strip_prefix("# ?") {
            questions = vec![clean(question)];
        } else if let Some(variant) = line.strip_prefix("- ") {
            questions.push(clean(variant));
        }
    }
    intents
}

/// Every way to ask with the intent's answer.
pub(super) fn chitchat(folder: &Path) -> Result<Vec<Document>> {
    let intents = chitchat_intents(folder)?;
    let pairs = intents.iter().flat_map(|(questions, answer)| {
        questions
            .iter()
            .filter_map(|question| pair(question, answer))
    });
    Ok(pairs.collect())
}

#[derive(Deserialize)]
struct Chatterbot {
    conversations: Vec<serde_yaml_ng::Value>,
}

/// The first two turns of each; later lines are other answers in some files, turns in others.
/// A conversation that is no list (the set has a slip of indentation) is left out.
pub(super) fn chatterbot(folder: &Path) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for path in files(folder, "yml")? {
        let file: Chatterbot = serde_yaml_ng::from_str(&text(&path)?)
            .map_err(|error| Error::format(&path, error.to_string()))?;
        documents.extend(file.conversations.iter().filter_map(|turns| {
            let [question, answer, ..] = turns.as_sequence()?.as_slice() else {
                return None;
            };
            pair(question.as_str()?, answer.as_str()?)
        }));
    }
    Ok(documents)
}

#[derive(Deserialize)]
struct SelfDialogue {
    turns: Vec<String>,
}

/// The short beginnings of dialogues about films, music and sport.
pub(super) fn self_dialogue(folder: &Path) -> Result<Vec<Document>> {
    let dialogues: Vec<SelfDialogue> = json_lines(&folder.join("self_dialogue.jsonl"))?;
    Ok(dialogues
        .into_iter()
        .filter_map(|dialogue| alternate(dialogue.turns.into_iter()))
        .collect())
}

#[derive(Deserialize)]
struct Persona {
    dialogue: Vec<Vec<String>>,
}

/// Two strangers getting to know each other; the one who speaks second is the assistant.
pub(super) fn xpersona(folder: &Path) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for file in ["En_persona_valid.json", "En_persona_test.json"] {
        let dialogues: Vec<Persona> = json(&folder.join(file))?;
        documents.extend(dialogues.into_iter().filter_map(|dialogue| {
            let turns = dialogue.dialogue.into_iter().flatten();
            alternate(
                turns
                    .filter(|turn| turn != "__SILENCE__")
                    .map(|turn| untokenized(&turn)),
            )
        }));
    }
    Ok(documents)
}

/// Undoes the spaces before punctuation and the lower case of tokenized text.
fn untokenized(text: &str) -> String {
    let mut joined = text.replace(" n't", "n't").replace(" '", "'");
    for mark in [".", ",", "!", "?", ";", ":"] {
        joined = joined.replace(&format!(" {mark}"), mark);
    }
    let mut begins = true;
    let words = joined.split_whitespace().map(|word| {
        let pronoun = word == "i" || word.starts_with("i'");
        let mut chars = word.chars();
        let shown = match chars.next() {
            Some(first) if begins || pronoun => first.to_uppercase().chain(chars).collect(),
            _ => word.to_owned(),
        };
        begins = word.ends_with(['.', '!', '?']);
        shown
    });
    words.collect::<Vec<_>>().join(" ")
}

#[derive(Deserialize)]
struct Order {
    turns: Vec<(String, String)>,
}

/// Orders at a coffee bar.
pub(super) fn taskmaster(folder: &Path) -> Result<Vec<Document>> {
    let orders: Vec<Order> = json_lines(&folder.join("tm4_coffee.jsonl"))?;
    let documents = orders.into_iter().filter_map(|order| {
        let roles = ["user", "assistant"].into_iter().cycle();
        let in_turn = order
            .turns
            .iter()
            .zip(roles)
            .take_while(|((role, _), wanted)| role == wanted);
        alternate(in_turn.map(|((_, text), _)| text.clone()))
    });
    Ok(documents.collect())
}

#[derive(Deserialize)]
struct Scene {
    dialogue: String,
}

/// Short scenes between two people, written "Name: words" in a row.
pub(super) fn fun_dialogues(folder: &Path) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for path in files(folder, "json")? {
        let file: std::collections::BTreeMap<String, Vec<Scene>> = json(&path)?;
        let scenes = file.values().flatten();
        documents
            .extend(scenes.filter_map(|scene| alternate(speeches(&scene.dialogue).into_iter())));
    }
    Ok(documents)
}

/// What each speaker says, in order; a speaker is one capitalised word before a colon.
fn speeches(dialogue: &str) -> Vec<String> {
    let mut speeches: Vec<String> = Vec::new();
    for word in dialogue.split_whitespace() {
        let is_name = word.strip_suffix(':').is_some_and(|name| {
            name.len() > 2
                && name.starts_with(|c: char| c.is_ascii_uppercase())
                && name.chars().all(char::is_alphabetic)
        });
        match speeches.last_mut() {
            _ if is_name => speeches.push(String::new()),
            Some(speech) => {
                speech.push_str(word);
                speech.push(' ');
            }
            None => {}
        }
    }
    speeches
}

#[derive(Deserialize)]
struct Instruction {
    instruction: String,
    #[serde(default)]
    input: String,
    #[serde(default)]
    output: String,
}

/// An instruction with its input below it.
fn instructed(instruction: &str, input: &str, output: &str) -> Option<Document> {
    let question = if input.trim().is_empty() {
        instruction.to_owned()
    } else {
        format!("{instruction} {input}")
    };
    pair(&question, output)
}

/// Everyday writing tasks with short results.
pub(super) fn instructions(folder: &Path) -> Result<Vec<Document>> {
    let tasks: Vec<Instruction> = json(&folder.join("instruction-data.json"))?;
    Ok(tasks
        .iter()
        .filter_map(|task| instructed(&task.instruction, &task.input, &task.output))
        .collect())
}

/// Two questions per common word: what it means, and which of two words a meaning belongs to.
pub(super) fn glosses(folder: &Path) -> Result<Vec<Document>> {
    let glosses = common_glosses(folder)?;
    let mut documents = Vec::with_capacity(glosses.len() * 2);
    for (
        i,
        Gloss {
            word,
            part,
            meaning,
        },
    ) in glosses.iter().enumerate()
    {
        let ask = [
            "What does {} mean?",
            "What is the meaning of {}?",
            "Define {}.",
        ];
        let question = ask[split::hash(word) as usize % ask.len()].replace("{}", word);
        documents.extend(pair(&question, meaning));
        // The other choice is the nearest later word of the same kind a fixed way down the list.
        let others = glosses
            .iter()
            .cycle()
            .skip(i + glosses.len() / 3)
            .take(glosses.len() / 3);
        if let Some(other) = others.into_iter().find(|other| other.part == *part) {
            let mut choices = [word.as_str(), other.word.as_str()];
            choices.sort_unstable();
            let [first, second] = choices;
            documents.extend(pair(
                &format!("Which word means \"{meaning}\": {first} or {second}?"),
                word,
            ));
        }
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn qna_files_give_all_variants_with_the_answer() {
        let text = "> # QnA pairs\n\n# ? Who made you?\n- Who built you\n- Your maker?\n\n\
                    **Filters:**\n\n```markdown\nSome\npeople.\n```\n# ? Hi\n```markdown\nHello.\n```\n";
        let intents = parse_qna(text);
        assert_eq!(intents.len(), 2);
        assert_eq!(
            intents[0].0,
            ["Who made you?", "Who built you", "Your maker?"]
        );
        assert_eq!(intents[0].1, "Some people.");
    }

    #[test]
    fn dialogues_are_cut_at_long_turns_and_even() {
        let turns = ["Hi", "Hello", "How are you", &"so ".repeat(100), "x"].map(str::to_owned);
        let Some(Document::Conversation(turns)) = alternate(turns.into_iter()) else {
            panic!()
        };
        assert_eq!(turns.len(), 2);
        assert_eq!(alternate(["Hi".to_owned()].into_iter()), None);
    }

    #[test]
    fn tokenized_text_is_put_back() {
        assert_eq!(untokenized("hi , i 'm bob . you ?"), "Hi, I'm bob. You?");
    }

    #[test]
    fn speakers_are_told_apart() {
        assert_eq!(
            speeches("Cook: Is it hot? Guest: Yes, thanks."),
            ["Is it hot? ", "Yes, thanks. "]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".*") {
            parse_qna(&text);
            speeches(&text);
            untokenized(&text);
            pair(&text, &text);
        }
    }
}
