//! Going on with an answer that another machine has begun.

use pollster::block_on;
use sprat_model::{Device, Finish, Message, Model, Options, Sampling, Storage};

/// Ids and texts of an answer, and why it ended.
fn answer(model: &Model, prompt: &[u32], options: Options) -> (Vec<(u32, String)>, Option<Finish>) {
    let mut session = model.session();
    let mut generation = session.generate(model, prompt, options).unwrap();
    let mut tokens = Vec::new();
    while let Some(token) = block_on(generation.next()) {
        let token = token.unwrap();
        tokens.push((token.id, token.text));
    }
    (tokens, generation.finish())
}

/// Wherever it is cut: no token and no part of a character is lost or said twice, penalties count from the beginning, and a
/// stop text is found that lies across the seam.
#[test]
fn an_answer_goes_on_as_if_it_had_never_changed_hands() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/models/sprat-tiny");
    let device = Device::flex();
    let mut quiet = |_| {};
    let model = Model::open(shipped.as_ref(), Storage::Q8, &device, &mut quiet);
    let model = block_on(model).unwrap();
    let question = Message {
        role: "user".to_owned(),
        content: "Tell me about your day.".to_owned(),
    };
    let prompt = model.prompt(&[question]).unwrap();
    let most = 40;
    let options = |stop: Vec<String>, continued: usize| Options {
        sampling: Sampling {
            frequency_penalty: 0.7,
            presence_penalty: 0.4,
            ..Sampling::default()
        },
        max_tokens: most - continued,
        stop,
        continued,
        ..Options::default()
    };
    let (free, _) = answer(&model, &prompt, options(vec![], 0));
    let text: String = free.iter().map(|(_, text)| text.as_str()).collect();
    // From the middle of a token to the middle of one behind it.
    let half: Vec<char> = text
        .chars()
        .skip(text.chars().count() / 2)
        .take(7)
        .collect();
    for stop in [vec![], vec![half.iter().collect::<String>()]] {
        let (whole, finish) = answer(&model, &prompt, options(stop.clone(), 0));
        assert!(stop.is_empty() || whole.len() < free.len());
        for cut in 1..whole.len() {
            let (begun, rest) = whole.split_at(cut);
            let ids = begun.iter().map(|(id, _)| *id);
            let prompt: Vec<u32> = prompt.iter().copied().chain(ids).collect();
            let (continued, end) = answer(&model, &prompt, options(stop.clone(), cut));
            assert_eq!(continued, rest, "cut at {cut}");
            assert_eq!(end, finish);
        }
        if finish == Some(Finish::Stop) {
            // It was complete: nothing comes any more.
            let ids = whole.iter().map(|(id, _)| *id);
            let prompt: Vec<u32> = prompt.iter().copied().chain(ids).collect();
            let (more, end) = answer(&model, &prompt, options(stop, whole.len()));
            assert_eq!((more, end), (vec![], Some(Finish::Stop)));
        }
    }
}
