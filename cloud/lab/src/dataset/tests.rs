use super::*;

fn part(source: &str, limit: usize) -> Part {
    Part {
        source: source.into(),
        weight: 1.0,
        limit,
    }
}

fn small() -> (Dataset, Tokenizer) {
    let mixture = Mixture {
        parts: vec![part("generator:home", 200), part("generator:dates", 100)],
    };
    let tokenizer = tokenizer::train_on(&mixture, None, 1).unwrap();
    (prepare(&mixture, None, &tokenizer, 1).unwrap(), tokenizer)
}

#[test]
fn a_mixture_is_read_from_a_recipe() {
    let text = "[[parts]]\nsource = \"generator:units\"\nweight = 2.0\nlimit = 50\n\
                [[parts]]\nsource = \"corpus:books_pd\"\nweight = 1\n";
    let mixture: Mixture = toml::from_str(text).unwrap();
    assert_eq!(
        mixture.parts[1],
        Part {
            source: "corpus:books_pd".into(),
            weight: 1.0,
            limit: 0
        }
    );
    assert!(toml::from_str::<Mixture>("[[parts]]\nsource = \"x\"\nwieght = 1.0").is_err());
}

#[test]
fn only_replies_count_in_conversations() {
    let (dataset, tokenizer) = small();
    for stream in dataset.train() {
        for (i, &start) in stream.starts.iter().enumerate() {
            let end = stream
                .starts
                .get(i + 1)
                .map_or(stream.tokens.len(), |&next| next as usize);
            let document = start as usize..end;
            let tokens: Vec<u32> = stream.tokens[document.clone()]
                .iter()
                .map(|&id| id.into())
                .collect();
            assert_eq!((tokens[0], tokens[1]), (START, tokenizer::USER));
            assert_eq!(tokens.last(), Some(&END));
            let mut inside = false;
            for (&id, &counts) in tokens.iter().zip(&stream.mask[document]) {
                assert_eq!(
                    counts,
                    inside,
                    "{}",
                    tokenizer.decode(&tokens, false).unwrap()
                );
                match id {
                    tokenizer::ASSISTANT => inside = true,
                    END => inside = false,
                    _ => {}
                }
            }
        }
    }
}

#[test]
fn preparing_twice_gives_the_same_and_seeds_differ() {
    let (dataset, tokenizer) = small();
    assert_eq!(dataset.hash(), small().0.hash());
    let mixture = Mixture {
        parts: vec![part("generator:home", 200)],
    };
    let other = prepare(&mixture, None, &tokenizer, 2).unwrap();
    assert_ne!(dataset.hash(), other.hash());
}

#[test]
fn what_is_saved_is_loaded_and_damage_is_noticed() {
    let (dataset, _) = small();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs/data.bin");
    dataset.save(&path).unwrap();
    assert_eq!(Dataset::load(&path).unwrap(), dataset);
    let bytes = std::fs::read(&path).unwrap();
    for damaged in [
        &bytes[..bytes.len() - 3],
        &bytes[..20],
        &bytes[..4],
        b"",
        b"not data at all",
    ] {
        std::fs::write(&path, damaged).unwrap();
        assert!(matches!(Dataset::load(&path), Err(Error::Format { .. })));
    }
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    std::fs::write(&path, flipped).unwrap();
    assert!(matches!(Dataset::load(&path), Err(Error::Format { .. })));
    assert!(matches!(
        Dataset::load(folder.path()),
        Err(Error::Io { .. })
    ));
}

#[test]
fn mixtures_that_cannot_work_say_why() {
    let (_, tokenizer) = small();
    let prepare = |parts: Vec<Part>| prepare(&Mixture { parts }, None, &tokenizer, 1);
    assert!(matches!(prepare(vec![]), Err(Error::Mixture(_))));
    assert!(matches!(
        prepare(vec![part("generator:home", 0)]),
        Err(Error::Mixture(_))
    ));
    assert!(matches!(
        prepare(vec![part("home", 5)]),
        Err(Error::UnknownSource { .. })
    ));
    assert!(matches!(
        prepare(vec![part("corpus:nothing", 5)]),
        Err(Error::UnknownSource { .. })
    ));
    assert!(matches!(
        prepare(vec![part("generator:chitchat", 5)]),
        Err(Error::UnknownSource { .. })
    ));
    let mut negative = part("generator:home", 5);
    negative.weight = -1.0;
    assert!(matches!(prepare(vec![negative]), Err(Error::Mixture(_))));
    // Without the data folder a corpus is skipped and named; alone it is an error.
    let dataset = prepare(vec![part("generator:home", 5), part("corpus:books_pd", 5)]).unwrap();
    assert!(dataset.skipped()[0].starts_with("corpus:books_pd"));
    assert!(matches!(
        prepare(vec![part("corpus:books_pd", 5)]),
        Err(Error::Mixture(_))
    ));
}

#[test]
fn held_out_questions_are_dropped_from_corpora() {
    let ask = |text: String| {
        Document::Conversation(vec![(Role::User, text), (Role::Assistant, "yes".into())])
    };
    let documents: Vec<_> = (0..500).map(|i| ask(format!("question {i}?"))).collect();
    let benchmark = HashSet::from([split::hash("Question 3")]);
    let kept = sided(documents, &benchmark);
    assert!(kept.iter().all(|(side, document)| {
        split::side(document.key()) == *side
            && split::hash(document.key()) != split::hash("question 3")
    }));
    assert!((400..480).contains(&kept.len()), "{}", kept.len());
}
