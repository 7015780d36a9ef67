use super::*;

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A data folder with a little of every set, in our own words.
fn tiny_root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let page =
        "The goat went up the hill and\ncame down again with a blue flower.\n\n##\n".repeat(3);
    write(
        root.path(),
        "storybooks_ccby/x/1.md",
        &format!("# The Goat\n\n##\n{page}* License: [CC-BY]\n"),
    );
    let chapter = "The goat went up the hill. ".repeat(30);
    write(
        root.path(),
        "books_pd/Nobody/Heidi.md",
        &format!("# Title: Heidi\n\n-------\n\n{chapter}\n"),
    );
    write(
        root.path(),
        "books_pd/Nobody/Other.md",
        &format!("-------\n\n{chapter}\n"),
    );
    write(
        root.path(),
        "common_voice_sentences/en/a.txt",
        "\"The goat sleeps now.\"\nno end mark here\n",
    );
    let gloss = "goat\tn\ta goat with a beard\tgoat goat goat goat goat goat goat goat goat goat goat \
                 goat goat goat goat goat goat goat goat goat\nlong tail\tn\ttail\t\n";
    write(
        root.path(),
        "wordnet_oewn_glosses/oewn_glosses.tsv",
        &format!("members\tpos\tdefinition\texamples\n{gloss}"),
    );
    write(
        root.path(),
        "world_factbook_facts/f.jsonl",
        "{\"name\":\"Nowhere\",\"capital\":\"Noplace\"}\n",
    );
    let questions: String = (0..60)
        .map(|i| format!("- do you like goat {i}?\n"))
        .collect();
    write(
        root.path(),
        "ms_chitchat/english/qna_chitchat_friendly.qna",
        &format!("# ? Do you like goats?\n{questions}\n```markdown\nI do.\n```\n"),
    );
    write(
        root.path(),
        "chatterbot_corpus/english/a.yml",
        "conversations:\n- - Are goats good?\n  - Yes.\n- - Year?\n  - 1963\n- No list\n",
    );
    write(
        root.path(),
        "self_dialogue/self_dialogue.jsonl",
        "{\"turns\":[\"Hi.\",\"Hello.\"]}\n",
    );
    let persona = "[{\"dialogue\":[[\"__SILENCE__\",\"hi .\"],[\"hello .\",\"bye .\"]]}]";
    write(root.path(), "xpersona/En_persona_valid.json", persona);
    write(root.path(), "xpersona/En_persona_test.json", "[]");
    write(
        root.path(),
        "taskmaster4/tm4_coffee.jsonl",
        "{\"turns\":[[\"user\",\"a tea\"],[\"assistant\",\"sure\"]]}\n",
    );
    write(
        root.path(),
        "fun_dialogues/a/b.json",
        "{\"b\":[{\"dialogue\":\"Cook: Hot? Guest: Yes.\"}]}",
    );
    write(
        root.path(),
        "llms_from_scratch_instr/ch07/01_main-chapter-code/instruction-data.json",
        "[{\"instruction\":\"Name a goat.\",\"input\":\"\",\"output\":\"Bob.\"}]",
    );
    root
}

#[test]
fn every_set_is_read() {
    let root = tiny_root();
    for name in NAMES {
        let Read::Documents(documents) = read(name, Some(root.path()), 0, 1).unwrap() else {
            panic!("{name} is missing")
        };
        assert!(!documents.is_empty(), "{name}");
    }
    let Read::Documents(books) = read("books_pd", Some(root.path()), 0, 1).unwrap() else {
        panic!()
    };
    assert_eq!(books.len(), 1, "only the plain books are read");
    let Read::Documents(stories) = read("storybooks_ccby", Some(root.path()), 0, 1).unwrap() else {
        panic!()
    };
    let page = "The goat went up the hill and came down again with a blue flower.";
    let story = format!("The Goat\n{page}\n{page}\n{page}");
    assert_eq!(stories, [Document::Text(story)], "a page is one line");
}

#[test]
fn a_missing_set_is_named_and_an_unknown_one_refused() {
    let root = tempfile::tempdir().unwrap();
    let Read::Missing(why) = read("xpersona", Some(root.path()), 0, 1).unwrap() else {
        panic!()
    };
    assert!(why.contains("xpersona"));
    assert!(matches!(
        read("xpersona", None, 0, 1).unwrap(),
        Read::Missing(_)
    ));
    assert!(matches!(
        read("sharealike", None, 0, 1),
        Err(Error::UnknownSource { .. })
    ));
}

#[test]
fn damaged_files_are_errors_that_name_them() {
    let root = tiny_root();
    for (set, file) in [
        ("xpersona", "xpersona/En_persona_test.json"),
        ("taskmaster4", "taskmaster4/tm4_coffee.jsonl"),
        ("chatterbot_corpus", "chatterbot_corpus/english/a.yml"),
        (MS_CHITCHAT, "ms_chitchat/english/qna_chitchat_friendly.qna"),
        ("wordnet_glosses", "wordnet_oewn_glosses/oewn_glosses.tsv"),
    ] {
        write(root.path(), file, "{ \"not\": [closed");
        let error = read(set, Some(root.path()), 0, 1).unwrap_err();
        assert!(matches!(error, Error::Format { .. }), "{set}: {error}");
        assert!(error.to_string().contains(file), "{error}");
    }
}

#[test]
fn chitchat_asks_only_what_is_held_out() {
    let root = tiny_root();
    let asked = chitchat_questions(&root.path().join(MS_CHITCHAT), 100, 1).unwrap();
    assert!(!asked.is_empty());
    assert!(
        asked
            .iter()
            .all(|example| split::side(&example.key) == Side::HeldOut)
    );
    assert!(asked.iter().all(|example| example.answers == ["I do."]));
}
