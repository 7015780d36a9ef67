// Random private conversations. Each question holds canaries: texts that occur nowhere else, so that wherever one is
// found, the question was there.

const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const DIGITS = "0123456789";
const KANA = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん";
const KANJI = "山川水火木金土日月人口目手足力心石花草虫貝魚鳥馬牛犬雨雪風空海島岸谷里村町市道門";
const HANGUL = Array.from({ length: 11_172 }, (_, at) => String.fromCharCode(0xac00 + at)).join("");

/** So long that a text cut into pieces of 8 characters, wherever that begins, has a whole piece of it. */
const LENGTH = 20;

/**
 * @typedef {"word" | "number" | "hangul" | "kana"} Kind
 * @typedef {{ kind: Kind, text: string }} Canary
 * @typedef {{ question: string, canaries: Canary[] }} Question
 * @typedef {{ system: string | null, canaries: Canary[], questions: Question[], options: object }} Conversation
 */

const ALPHABETS = { word: LETTERS + DIGITS, number: DIGITS, hangul: HANGUL, kana: KANA + KANJI };

/** A text that is in no model, no page and no log. @returns {Canary} */
export function canary(random, kind = random.pick(["word", "word", "number", "hangul", "kana"])) {
  let text = kind === "word" ? random.pick(LETTERS) : kind === "number" ? String(1 + random.below(9)) : "";
  while (text.length < LENGTH) text += random.pick(ALPHABETS[kind]);
  return { kind, text };
}

/** What people might want to keep to themselves; two places for canaries in each. */
const CARRIERS = [
  "My password for {} is {} . Is it a good one?",
  "Please remember {} and the account {} , nobody may know.",
  "What does {} mean? My doctor wrote {} on the form.",
  "hello, I am {} and I live near {}",
  "Summarise this letter: {} has not paid {} since March.",
  "turn on the lamp {} in the room {}",
  "제 비밀번호는 {} 이고 계좌는 {} 입니다. 안전한가요?",
  "어제 {} 씨가 {} 라고 말했어요. 무슨 뜻이에요?",
  "{} 에 대해 설명해 주세요. 암호는 {} 입니다.",
  "私の暗証番号は {} です。口座は {} です。大丈夫ですか。",
  "{} さんから {} という手紙が来ました。どうすればいいですか。",
];

/** A question that no small model should be sure of, and one that needs no model. */
const HARD = "Explain in detail why the Roman Empire fell, for the file {} and the reader {} .";
const EXACT = "what is 17 * 23?";

/** @returns {Question} */
export function question(random) {
  // The first is always a word: it is the kind whose every piece of 8 characters is looked for.
  const canaries = [canary(random, "word"), canary(random)];
  if (random.chance(50)) canaries.reverse();
  const carrier = random.chance(15) ? HARD : random.pick(CARRIERS);
  let at = 0;
  return { question: carrier.replace(/\{\}/g, () => canaries[at++].text), canaries };
}

/** A private conversation of one to three questions, with options as callers give them. @returns {Conversation} */
export function conversation(random) {
  const questions = Array.from({ length: 1 + random.below(3) }, () => question(random));
  // A sum has no room for a canary; what it shares a conversation with must stay all the same.
  if (random.chance(10)) questions.push({ question: EXACT, canaries: [] });
  const secret = random.chance(20) ? canary(random, "word") : null;
  const options = {
    mode: random.pick(["auto", "auto", "auto", "device", "cloud"]),
    maxTokens: 1 + random.below(16),
    ...(random.chance(30) ? { temperature: random.below(20) / 10, seed: random.below(2 ** 31) } : {}),
    ...(random.chance(10) ? { lookup: false } : {}),
    ...(random.chance(10) ? { stop: ["\n", "."] } : {}),
  };
  return {
    system: secret && `You are the assistant of ${secret.text} .`,
    canaries: [...(secret ? [secret] : []), ...questions.flatMap(({ canaries }) => canaries)],
    questions,
    options,
  };
}
