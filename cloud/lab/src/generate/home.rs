//! Commands to a smart home.
//!
//! The answer is one sentence that a person can read and a program can parse:
//! `OK, <room> <device> <state>.`, for instance `OK, kitchen light on.`, or, where the house has
//! no such thing, `Sorry, I can't control the <thing>.` The room is left out when the command
//! names none.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Example, capitalise, fill, pick};
use crate::skills::Skill;

const ROOMS: &[&str] = &[
    "kitchen",
    "living room",
    "bedroom",
    "bathroom",
    "garage",
    "hallway",
    "office",
    "dining room",
    "basement",
    "garden",
    "attic",
    "kids room",
];

/// What a device can be told: the ways to say it, and the state it ends in.
struct Action {
    phrases: &'static [&'static str],
    state: &'static str,
}

struct Device {
    names: &'static [&'static str],
    /// The name the answer uses.
    name: &'static str,
    /// Whether a house has one per room.
    in_rooms: bool,
    actions: &'static [Action],
}

const ON: Action = Action {
    phrases: &[
        "turn on {the}",
        "turn {the} on",
        "switch on {the}",
        "switch {the} on",
        "put {the} on",
        "I want {the} on",
        "can you turn on {the}",
        "please switch on {the}",
        "start {the}",
    ],
    state: "on",
};
const OFF: Action = Action {
    phrases: &[
        "turn off {the}",
        "turn {the} off",
        "switch off {the}",
        "switch {the} off",
        "shut off {the}",
        "I want {the} off",
        "can you turn off {the}",
        "please switch off {the}",
        "stop {the}",
    ],
    state: "off",
};
const OPEN: Action = Action {
    phrases: &[
        "open {the}",
        "please open {the}",
        "can you open {the}",
        "I want {the} open",
        "open up {the}",
    ],
    state: "open",
};
const CLOSE: Action = Action {
    phrases: &[
        "close {the}",
        "please close {the}",
        "can you close {the}",
        "shut {the}",
        "I want {the} closed",
    ],
    state: "closed",
};
const LOCK: Action = Action {
    phrases: &[
        "lock {the}",
        "please lock {the}",
        "can you lock {the}",
        "make sure {the} is locked",
    ],
    state: "locked",
};
const UNLOCK: Action = Action {
    phrases: &[
        "unlock {the}",
        "please unlock {the}",
        "can you unlock {the}",
        "I need {the} unlocked",
    ],
    state: "unlocked",
};
const LIGHT_LEVEL: Action = Action {
    phrases: &[
        "set {the} to {n} percent",
        "dim {the} to {n} percent",
        "set {the} to {n}%",
        "make {the} {n}% bright",
        "change {the} to {n}%",
    ],
    state: "{n}%",
};
const COLOUR: Action = Action {
    phrases: &[
        "make {the} {colour}",
        "turn {the} {colour}",
        "set {the} to {colour}",
        "change {the} to {colour}",
    ],
    state: "{colour}",
};
const TEMPERATURE: Action = Action {
    phrases: &[
        "set {the} to {n}",
        "set {the} to {n} degrees",
        "change {the} to {n} degrees",
        "put {the} at {n}",
        "make {the} {n} degrees",
    ],
    state: "{n} degrees",
};

const DEVICES: &[Device] = &[
    Device {
        names: &["light", "lights", "lamp"],
        name: "light",
        in_rooms: true,
        actions: &[ON, OFF, ON, OFF, LIGHT_LEVEL, COLOUR],
    },
    Device {
        names: &["fan"],
        name: "fan",
        in_rooms: true,
        actions: &[ON, OFF],
    },
    Device {
        names: &["heater", "heating"],
        name: "heater",
        in_rooms: true,
        actions: &[ON, OFF],
    },
    Device {
        names: &["blinds", "shades"],
        name: "blinds",
        in_rooms: true,
        actions: &[OPEN, CLOSE],
    },
    Device {
        names: &["curtains"],
        name: "curtains",
        in_rooms: true,
        actions: &[OPEN, CLOSE],
    },
    Device {
        names: &["window"],
        name: "window",
        in_rooms: true,
        actions: &[OPEN, CLOSE],
    },
    Device {
        names: &["speaker", "radio"],
        name: "speaker",
        in_rooms: true,
        actions: &[ON, OFF],
    },
    Device {
        names: &["tv", "television"],
        name: "tv",
        in_rooms: true,
        actions: &[ON, OFF],
    },
    Device {
        names: &["thermostat"],
        name: "thermostat",
        in_rooms: true,
        actions: &[TEMPERATURE],
    },
    Device {
        names: &["front door"],
        name: "front door",
        in_rooms: false,
        actions: &[LOCK, UNLOCK],
    },
    Device {
        names: &["back door"],
        name: "back door",
        in_rooms: false,
        actions: &[LOCK, UNLOCK],
    },
    Device {
        names: &["garage door"],
        name: "garage door",
        in_rooms: false,
        actions: &[OPEN, CLOSE],
    },
    Device {
        names: &["gate"],
        name: "gate",
        in_rooms: false,
        actions: &[OPEN, CLOSE, LOCK, UNLOCK],
    },
    Device {
        names: &["coffee machine", "coffee maker"],
        name: "coffee machine",
        in_rooms: false,
        actions: &[ON, OFF],
    },
    Device {
        names: &["vacuum", "vacuum cleaner"],
        name: "vacuum",
        in_rooms: false,
        actions: &[ON, OFF],
    },
    Device {
        names: &["dishwasher"],
        name: "dishwasher",
        in_rooms: false,
        actions: &[ON, OFF],
    },
    Device {
        names: &["sprinkler"],
        name: "sprinkler",
        in_rooms: false,
        actions: &[ON, OFF],
    },
    Device {
        names: &["alarm"],
        name: "alarm",
        in_rooms: false,
        actions: &[ON, OFF],
    },
];

/// Things no house controls.
const IMPOSSIBLE: &[&str] = &[
    "moon", "sun", "rain", "dog", "cat", "river", "sea", "train", "airport", "weather", "traffic",
    "wind", "school", "horse", "volcano", "city", "mountain", "bus", "snow", "zoo",
];

/// One command, or about one time in ten one that no house can follow.
pub fn draw(rng: &mut ChaCha8Rng) -> Example {
    if rng.random_bool(0.1) {
        refusal(rng)
    } else {
        command(rng)
    }
}

fn command(rng: &mut ChaCha8Rng) -> Example {
    // Most things a house hears are about things in rooms.
    let rooms = rng.random_bool(0.8);
    let device = loop {
        let device = pick(rng, DEVICES);
        if device.in_rooms == rooms {
            break device;
        }
    };
    let action = pick(rng, device.actions);
    let name = *pick(rng, device.names);
    let room = (device.in_rooms && rng.random_bool(0.85)).then(|| *pick(rng, ROOMS));
    let the = match room {
        None => format!("the {name}"),
        Some(room) if rng.random_bool(0.7) => format!("the {room} {name}"),
        Some(room) => format!("the {name} in the {room}"),
    };
    let n = match action.state {
        "{n} degrees" => rng.random_range(15..=28),
        _ => 5 * rng.random_range(1..=20),
    };
    let n = n.to_string();
    let colour = *pick(
        rng,
        &[
            "red", "blue", "green", "white", "yellow", "purple", "orange", "pink",
        ],
    );
    let values = [("the", the.as_str()), ("n", &n), ("colour", colour)];
    let question = fill(pick(rng, action.phrases), &values);
    let question = spoken(rng, &question);
    let state = fill(action.state, &values);
    let place = room.map_or_else(String::new, |room| format!("{room} "));
    let answer = format!("OK, {place}{} {state}.", device.name);
    let difficulty = 1 + u8::from(action.state.contains('{')) + u8::from(name != device.name);
    Example::new(Skill::Home, question, answer, difficulty)
}

fn refusal(rng: &mut ChaCha8Rng) -> Example {
    let action = pick(rng, &[ON, OFF, OPEN, CLOSE, LOCK, TEMPERATURE, COLOUR]).phrases;
    let thing = *pick(rng, IMPOSSIBLE);
    let the = format!("the {thing}");
    let n = rng.random_range(15..=28).to_string();
    let values = [("the", the.as_str()), ("n", &n), ("colour", "green")];
    let question = fill(pick(rng, action), &values);
    let question = spoken(rng, &question);
    Example::new(
        Skill::Home,
        question,
        format!("Sorry, I can't control the {thing}."),
        3,
    )
}

/// As a person would type it: perhaps a capital, a point, or "please" at the end.
fn spoken(rng: &mut ChaCha8Rng, command: &str) -> String {
    let mut text = if rng.random_bool(0.5) {
        capitalise(command)
    } else {
        command.to_owned()
    };
    let polite = text.to_lowercase().contains("please");
    if text.to_lowercase().starts_with("can you") {
        if rng.random_bool(0.7) {
            text.push('?');
        }
    } else {
        match rng.random_range(0..10) {
            0 if !polite => text.push_str(" please"),
            1..5 => text.push('.'),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    proptest! {
        #[test]
        fn the_answer_does_what_was_asked(seed in any::<u64>()) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            for _ in 0..20 {
                let example = draw(&mut rng);
                let asked = example.question().to_lowercase();
                let answer = &example.answers[0];
                if let Some(thing) = answer.strip_prefix("Sorry, I can't control the ") {
                    prop_assert!(asked.contains(thing.trim_end_matches('.')));
                    continue;
                }
                let done = answer.strip_prefix("OK, ").and_then(|done| done.strip_suffix('.')).unwrap();
                let words: Vec<_> = asked.split(|c: char| !c.is_alphanumeric()).collect();
                let said = |word: &str| words.contains(&word);
                let state = done.rsplit(' ').next().unwrap();
                let right = match state {
                    "on" => said("on") || said("start"),
                    "off" => said("off") || said("stop"),
                    "open" => said("open"),
                    "closed" => said("close") || said("shut") || said("closed"),
                    "locked" => said("lock") || said("locked"),
                    "unlocked" => said("unlock") || said("unlocked"),
                    "degrees" => said(done.rsplit(' ').nth(1).unwrap()),
                    level => said(level.trim_end_matches('%')),
                };
                prop_assert!(right, "{:?}", example);
                for room in ROOMS {
                    let garage_door = *room == "garage" && asked.contains("garage door");
                    prop_assert_eq!(
                        asked.contains(room) && !garage_door,
                        done.starts_with(&format!("{room} ")) && !garage_door,
                        "{:?}", example
                    );
                }
            }
        }
    }
}
