//! Capitals, continents and currencies of countries.
//!
//! The table is ours, of facts as they stood when this was written. A question is held out by its
//! wording: the fact behind it is trained on in other words, since nobody can know a fact that
//! nobody told them.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Example, fill, pick, vary};
use crate::skills::Skill;

/// Country, capital, continent, currency.
const COUNTRIES: &[(&str, &str, &str, &str)] = &[
    ("France", "Paris", "Europe", "euro"),
    ("Germany", "Berlin", "Europe", "euro"),
    ("Italy", "Rome", "Europe", "euro"),
    ("Spain", "Madrid", "Europe", "euro"),
    ("Portugal", "Lisbon", "Europe", "euro"),
    ("Austria", "Vienna", "Europe", "euro"),
    ("Belgium", "Brussels", "Europe", "euro"),
    ("Ireland", "Dublin", "Europe", "euro"),
    ("Greece", "Athens", "Europe", "euro"),
    ("Finland", "Helsinki", "Europe", "euro"),
    ("Norway", "Oslo", "Europe", "krone"),
    ("Sweden", "Stockholm", "Europe", "krona"),
    ("Denmark", "Copenhagen", "Europe", "krone"),
    ("Iceland", "Reykjavik", "Europe", "krona"),
    ("Poland", "Warsaw", "Europe", "zloty"),
    ("Hungary", "Budapest", "Europe", "forint"),
    ("Romania", "Bucharest", "Europe", "leu"),
    ("Ukraine", "Kyiv", "Europe", "hryvnia"),
    ("Switzerland", "Bern", "Europe", "franc"),
    ("Serbia", "Belgrade", "Europe", "dinar"),
    ("Japan", "Tokyo", "Asia", "yen"),
    ("China", "Beijing", "Asia", "yuan"),
    ("South Korea", "Seoul", "Asia", "won"),
    ("India", "New Delhi", "Asia", "rupee"),
    ("Pakistan", "Islamabad", "Asia", "rupee"),
    ("Nepal", "Kathmandu", "Asia", "rupee"),
    ("Bangladesh", "Dhaka", "Asia", "taka"),
    ("Thailand", "Bangkok", "Asia", "baht"),
    ("Vietnam", "Hanoi", "Asia", "dong"),
    ("Laos", "Vientiane", "Asia", "kip"),
    ("Mongolia", "Ulaanbaatar", "Asia", "tugrik"),
    ("Philippines", "Manila", "Asia", "peso"),
    ("Malaysia", "Kuala Lumpur", "Asia", "ringgit"),
    ("Singapore", "Singapore", "Asia", "dollar"),
    ("Iran", "Tehran", "Asia", "rial"),
    ("Iraq", "Baghdad", "Asia", "dinar"),
    ("Israel", "Jerusalem", "Asia", "shekel"),
    ("Jordan", "Amman", "Asia", "dinar"),
    ("Saudi Arabia", "Riyadh", "Asia", "riyal"),
    ("Qatar", "Doha", "Asia", "riyal"),
    ("Egypt", "Cairo", "Africa", "pound"),
    ("Morocco", "Rabat", "Africa", "dirham"),
    ("Algeria", "Algiers", "Africa", "dinar"),
    ("Tunisia", "Tunis", "Africa", "dinar"),
    ("Libya", "Tripoli", "Africa", "dinar"),
    ("Kenya", "Nairobi", "Africa", "shilling"),
    ("Uganda", "Kampala", "Africa", "shilling"),
    ("Tanzania", "Dodoma", "Africa", "shilling"),
    ("Ethiopia", "Addis Ababa", "Africa", "birr"),
    ("Ghana", "Accra", "Africa", "cedi"),
    ("Nigeria", "Abuja", "Africa", "naira"),
    ("Senegal", "Dakar", "Africa", "franc"),
    ("Mali", "Bamako", "Africa", "franc"),
    ("Rwanda", "Kigali", "Africa", "franc"),
    ("Angola", "Luanda", "Africa", "kwanza"),
    ("Zambia", "Lusaka", "Africa", "kwacha"),
    ("Namibia", "Windhoek", "Africa", "dollar"),
    ("Botswana", "Gaborone", "Africa", "pula"),
    ("Mozambique", "Maputo", "Africa", "metical"),
    ("Canada", "Ottawa", "North America", "dollar"),
    ("the United States", "Washington", "North America", "dollar"),
    ("Mexico", "Mexico City", "North America", "peso"),
    ("Cuba", "Havana", "North America", "peso"),
    ("Jamaica", "Kingston", "North America", "dollar"),
    ("Guatemala", "Guatemala City", "North America", "quetzal"),
    ("Costa Rica", "San Jose", "North America", "colon"),
    ("Brazil", "Brasilia", "South America", "real"),
    ("Argentina", "Buenos Aires", "South America", "peso"),
    ("Chile", "Santiago", "South America", "peso"),
    ("Colombia", "Bogota", "South America", "peso"),
    ("Uruguay", "Montevideo", "South America", "peso"),
    ("Paraguay", "Asuncion", "South America", "guarani"),
    ("Peru", "Lima", "South America", "sol"),
    ("Ecuador", "Quito", "South America", "dollar"),
    ("Venezuela", "Caracas", "South America", "bolivar"),
    ("Australia", "Canberra", "Oceania", "dollar"),
    ("New Zealand", "Wellington", "Oceania", "dollar"),
    ("Fiji", "Suva", "Oceania", "dollar"),
    ("Samoa", "Apia", "Oceania", "tala"),
    ("Tonga", "Nukualofa", "Oceania", "paanga"),
];

const CAPITAL: &[&str] = &[
    "what is the capital of {country}?",
    "which city is the capital of {country}?",
    "capital of {country}",
    "what is the capital city of {country}?",
    "tell me the capital of {country}.",
    "name the capital of {country}.",
    "do you know the capital of {country}?",
    "what city is the capital of {country}?",
    "what is {country}'s capital?",
    "can you tell me the capital of {country}?",
];
const WHOSE_CAPITAL: &[&str] = &[
    "{city} is the capital of which country?",
    "which country has the capital {city}?",
    "what country is {city} the capital of?",
    "of which country is {city} the capital?",
    "in which country is {city}?",
    "which country is {city} in?",
];
const CONTINENT: &[&str] = &[
    "on which continent is {country}?",
    "which continent is {country} in?",
    "what continent is {country} on?",
    "where is {country}?",
    "where in the world is {country}?",
    "on what continent can I find {country}?",
    "{country} is on which continent?",
];
const CURRENCY: &[&str] = &[
    "what is the currency of {country}?",
    "which currency does {country} use?",
    "what money do people use in {country}?",
    "currency of {country}",
    "what is the name of the money in {country}?",
    "how do people pay in {country}?",
    "tell me the currency of {country}.",
];

/// One question about a country.
pub fn draw(rng: &mut ChaCha8Rng) -> Example {
    let (country, capital, continent, currency) = *pick(rng, COUNTRIES);
    let (templates, answer, difficulty) = match rng.random_range(0..100) {
        0..42 => (CAPITAL, capital.to_owned(), 3),
        42..60 if capital != country => (WHOSE_CAPITAL, super::capitalise(country), 3),
        42..80 => (CONTINENT, continent.to_owned(), 1),
        _ => (CURRENCY, format!("the {currency}"), 4),
    };
    let values = [("country", country), ("city", capital)];
    let question = fill(pick(rng, templates), &values);
    let question = vary(rng, &question);
    let mut example = Example::new(Skill::Facts, question, answer, difficulty);
    match templates {
        CURRENCY => example.answers.push(currency.to_owned()),
        _ if country == "the United States" && example.answers[0] == "Washington" => {
            example
                .answers
                .extend(["Washington, D.C.", "Washington DC"].map(str::to_owned));
        }
        _ => {}
    }
    example
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use std::collections::HashSet;

    #[test]
    fn every_country_and_capital_stands_once() {
        let countries: HashSet<_> = COUNTRIES.iter().map(|row| row.0).collect();
        let capitals: HashSet<_> = COUNTRIES.iter().map(|row| row.1).collect();
        assert_eq!(
            (countries.len(), capitals.len()),
            (COUNTRIES.len(), COUNTRIES.len())
        );
    }

    proptest! {
        #[test]
        fn answers_stand_in_the_row_of_what_is_asked(seed in any::<u64>()) {
            let example = draw(&mut ChaCha8Rng::seed_from_u64(seed));
            let asked = example.question().to_lowercase();
            let answer = example.answers[0].to_lowercase();
            let answer = answer.strip_prefix("the ").unwrap_or(&answer);
            let fits = COUNTRIES.iter().any(|(country, capital, continent, currency)| {
                let in_question = |name: &str| asked.contains(&name.to_lowercase());
                let is = |name: &str| answer == name.to_lowercase().trim_start_matches("the ");
                (in_question(country) && (is(capital) || is(continent) || is(currency)))
                    || (in_question(capital) && is(country))
            });
            prop_assert!(fits, "{:?}", example);
        }
    }
}
