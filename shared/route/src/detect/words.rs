//! The words that the scanners know, in lower case. One string for each cue: a table of slices
//! would double its size in the page's module.

/// What a word tells the scanner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cue {
    /// Nothing: it hides a shorter word that would tell something.
    Nothing,
    /// What follows is about the person, or somebody close.
    Personal,
    /// It is not: about a book, a lesson, an animal.
    Impersonal,
    /// An illness, a treatment, a state of the body.
    Health,
    /// Behind an illness: somebody has it.
    HasIt,
    /// Income, debts, possessions.
    Money,
    /// A sum behind it is the person's.
    Sum,
    /// A telephone number follows.
    Phone,
    /// A card's number follows.
    Card,
    /// The number of a document follows.
    Document,
    /// The number of an account follows.
    Account,
    /// A password follows.
    Password,
    /// A key or token follows.
    Secret,
    /// A date of birth follows.
    Birth,
    /// A date of birth stands before.
    Born,
    /// An address follows.
    Address,
    /// The name of a street ends here, with a number at its beginning.
    Street,
    /// A flat's number follows.
    Flat,
    /// A name follows, in Latin letters of either case or in another script.
    Name,
    /// A name follows if it has a capital.
    Capital,
    /// A title before a name.
    Title,
    /// A Korean person says who he is.
    IAmKorean,
    /// A Japanese person says who she is.
    IAmJapanese,
    /// A Japanese name stands before.
    Called,
    /// A common Japanese surname.
    Surname,
}

/// Words, separated by `|`. A word in Latin letters counts only as a whole, one in Hangul only at a
/// beginning, unless it has a `~` before it.
pub(super) const WORDS: &[(Cue, &str)] = &[
    (
        Cue::Nothing,
        "私立|私鉄|私道|私服|私語|分母|酵母|母音|母校|母国|母体|母数|丈夫|大丈夫|工夫|夫人|夫婦|農夫|漁夫|妻子|\
         自分で|自分の力|stroke of|my lord|my goodness|my god|i have to|i've to|i was wondering|\
         cancer sign|depression era|great depression|the depression|口座開設|年金制度|手術室|수술실|my dear",
    ),
    (
        Cue::Personal,
        "my|our|i have|i've|i had|i've had|i am|i'm|im|i was|i've been|i got|i take|i'm taking|i suffer|i feel|i used to|\
         i need|i want my|i do have|do i have|am i|제 |저의|제가|저는|저도|저 |나는|내가|내 |나의|나도|나 |저희|우리 |\
         엄마가|엄마는|아빠가|아빠는|어머니가|어머니는|아버지가|아버지는|아내가|아내는|남편이|남편은|아들이|아들은|딸이|딸은|\
         동생이|동생은|私|私は|わたし|わたしは|僕|僕は|ぼくは|俺|俺は|うちの|母|父が|父は|父の|妻|夫|息子|娘|自分|祖母|祖父|弟|妹",
    ),
    (
        Cue::Impersonal,
        "about|question|essay|book|novel|movie|film|song|lyrics|poem|homework|research|paper|presentation|article|cat|dog|\
         pet|puppy|kitten|hamster|rabbit|zodiac|horoscope|astrology|study|studying|studied|writing|report|class|project|\
         exam|game|character|code|program|data|dataset|curious|learn|learning|interested|understand|reading|awareness|\
         statistics|foundation|charity|calculator|formula|topic|list|friend asks|plant|tree|\
         ~에 대해|~에 대한|~에 관한|~에 관해|~관련|소설|영화|논문|숙제|발표|게임|강아지|고양이|드라마|책을|\
         について|に関する|に関して|とは|小説|映画|論文|レポート|宿題|猫|犬|ペット|ゲーム|漫画|ドラマ",
    ),
    (
        Cue::Health,
        "diabetes|diabetic|cancer|tumor|tumour|leukemia|leukaemia|lymphoma|melanoma|hiv|hiv positive|depression|depressed|\
         anxiety|anxiety disorder|panic attack|panic disorder|bipolar|schizophrenia|schizophrenic|ptsd|adhd|ocd|autism|autistic|\
         epilepsy|epileptic|seizure|asthma|copd|pregnant|pregnancy|miscarriage|abortion|infertility|ivf|chlamydia|gonorrhea|\
         syphilis|herpes|hpv|std|sti|blood pressure|hypertension|cholesterol|blood sugar|insulin|metformin|chemo|chemotherapy|\
         radiotherapy|antidepressant|prozac|zoloft|lexapro|xanax|adderall|lithium pills|ssri|therapist|psychiatrist|\
         psychologist|oncologist|cardiologist|biopsy|surgery|hysterectomy|vasectomy|mastectomy|heart attack|a stroke|\
         heart condition|heart disease|kidney disease|kidney stones|liver disease|hepatitis|tuberculosis|dementia|alzheimer's|\
         alzheimer|parkinson's|multiple sclerosis|lupus|arthritis|fibromyalgia|endometriosis|crohn's|ulcer|migraine|\
         eating disorder|anorexia|anorexic|bulimia|suicidal|suicide|self-harm|self harm|overdose|addiction|addicted to|alcoholic|\
         alcoholism|rehab|dialysis|blood test|mri|ct scan|colonoscopy|prescription|medication|antibiotics|painkillers|\
         symptoms|a rash|a fever|a headache|chest pain|insomnia|erectile dysfunction|menopause|thyroid|anemia|anaemia|obese|\
         std test|hiv test|medical history|medical record|test results|diagnosis|a lump|mental health|medical condition|\
         당뇨|당뇨병|우울증|공황장애|공황 장애|불안장애|고혈압|저혈압|혈압|혈당|~암 진단|~암 수술|유방암|위암|폐암|대장암|간암|갑상선암|\
         자궁경부암|전립선암|췌장암|백혈병|임신|유산을|유산했|낙태|난임|불임|시험관 시술|에이즈|성병|매독|조현병|조울증|자폐|치매|뇌전증|\
         간질|천식|아토피|항우울제|정신과|수면제|불면증|허리디스크|목디스크|디스크 수술|수술|항암|갑상선|신부전|투석|간염|결핵|생리통|\
         폐경|갱년기|자살|자해|알코올 중독|알콜중독|인슐린|처방|탈모|심근경색|협심증|뇌졸중|뇌출혈|심장병|종양|용종|조직검사|거식증|\
         폭식증|진단서|건강검진 결과|\
         糖尿病|うつ病|鬱病|鬱|適応障害|パニック障害|不安障害|双極性障害|統合失調症|発達障害|自閉症|認知症|てんかん|喘息|乳がん|胃がん|\
         肺がん|大腸がん|肝臓がん|癌|がんと|がんの治療|がんの手術|がんで|高血圧|低血圧|血圧|血糖|妊娠|流産|中絶|不妊|hiv陽性|エイズ|性病|\
         梅毒|クラミジア|精神科|心療内科|抗うつ薬|抗うつ剤|睡眠薬|不眠症|手術|抗がん剤|白血病|透析|肝炎|結核|更年期|生理痛|自殺|\
         自傷|リストカット|アルコール依存|インスリン|処方|心筋梗塞|脳梗塞|脳卒中|狭心症|腫瘍|生検|拒食症|過食症|診断書|アトピー|椎間板ヘルニア|\
         甲状腺|持病|病歴",
    ),
    (
        Cue::HasIt,
        "~진단을 받았|~진단받았|~진단 받았|~앓고 있어|~앓고 있습|~앓고 있는데|~앓았|~치료를 받고 있|~치료 받고 있|~치료받고 있|~약을 먹고 있|\
         ~약을 복용|~복용 중|~판정을 받았|~판정받았|と診断されまし|と診断されて|と診断された|を患って|で通院して|で入院して|にかかってしま|\
         の治療を受けて|の薬を飲んで|を飲んでいま|を服用",
    ),
    (
        Cue::Money,
        "salary|income|debt|mortgage|loan|savings|credit score|net worth|paycheck|pay check|wages|pension|tax return|\
         bankruptcy|bankrupt|bank balance|account balance|bank statement|credit card debt|alimony|child support|\
         401k|life savings|inheritance|student loan|payday loan|overdraft|in debt|\
         연봉|월급|빚|빚이|대출|적금|예금|통장|잔고|신용점수|신용등급|파산|전세금|보증금|재산|주식 계좌|급여|퇴직금|월세|연금|\
         年収|月収|給料|給与|手取り|借金|ローン|貯金|貯蓄|預金|残高|年金|破産|自己破産|退職金|相続|遺産|ボーナス",
    ),
    (
        Cue::Sum,
        "i earn|i make|i owe|i'm paid|i am paid|i get paid|i paid off|i have saved|i've saved|i inherited|earning",
    ),
    (
        Cue::Phone,
        "phone number|phone is|phone:|telephone|tel|tel.|tel:|call me at|call me on|reach me at|reach me on|text me at|\
         text me on|ring me on|my number is|my number's|my cell is|my mobile is|my cell|my mobile|my phone|cell:|mobile:|whatsapp|\
         contact number|fax|mobile number|cell number|registered|전화|전화번호|연락처|휴대폰|핸드폰|제 번호는|내 번호는|팩스|\
         電話|電話番号|携帯|連絡先|番号は|ファックス",
    ),
    (
        Cue::Card,
        "card|credit card|debit card|card number|visa|mastercard|amex|카드|카드번호|신용카드|カード|カード番号|クレジットカード",
    ),
    (
        Cue::Document,
        "ssn|social security|social security number|passport|passport number|driver's license|drivers license|driver license|\
         driving licence|license number|licence number|nhs number|national insurance|tax id|steuer-id|\
         steueridentifikationsnummer|medicare number|id number|national id|id card|nino|codice fiscale|dni|nie|\
         여권번호|여권|운전면허|운전면허번호|면허번호|외국인등록번호|주민등록번호|주민번호|パスポート番号|パスポート|免許証番号|運転免許証|\
         マイナンバー|個人番号|保険証番号|在留カード番号|年金番号",
    ),
    (
        Cue::Account,
        "account number|account no|account no.|acct|acct no|routing number|sort code|account|bank account|\
         계좌번호|계좌|口座番号|口座",
    ),
    (
        Cue::Password,
        "password|passwd|pwd|passcode|pass code|passphrase|my pin|pin is|pin code|pin number|pin:|비밀번호|비번|암호|\
         パスワード|暗証番号|パスコード",
    ),
    (
        Cue::Secret,
        "api key|apikey|api_key|api-key|api token|access key|access_key|access token|access_token|auth token|secret key|\
         secret_key|secretkey|client secret|client_secret|secret|private key|private_key|bearer|token|api 키|비밀키|비밀 키|\
         토큰|인증키|apiキー|秘密鍵|アクセスキー|トークン",
    ),
    (
        Cue::Birth,
        "my birthday is|my birthday's|my birthday|birthday:|date of birth|birth date|birthdate|dob|d.o.b.|d.o.b|i was born on|\
         i was born|was born on the|생년월일|제 생일은|내 생일은|제 생일이|내 생일이|생일은|生年月日|誕生日は|私の誕生日|僕の誕生日|誕生日が",
    ),
    (Cue::Born, "~에 태어났|~생입니다|~생이에요|~생이고|生まれ"),
    (
        Cue::Address,
        "i live at|i'm living at|we live at|my address|address is|address:|home address|addresses to|ship to|ship it to|\
         deliver to|deliver it to|send it to|billing address|address to|living at|lives at|mailing address|\
         to the same:|following?|located at|주소는|주소가|주소:|주소|住所は|住所:|住所",
    ),
    (
        Cue::Street,
        "street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|court|ct|place|terrace|way|parkway|pkwy|crescent|\
         close|square|highway|hwy|circle|row|gardens|grove|mews|dr",
    ),
    (
        Cue::Flat,
        "apt|apt.|suite|p.o. box|po box|p.o.box|unit #|apt #",
    ),
    (
        Cue::Name,
        "my name is|my name's|my full name is|my real name is|my first name is|my last name is|my surname is|\
         my husband's name is|my wife's name is|my son's name is|my daughter's name is|my mother's maiden name is|\
         my boss's name is|i go by|제 이름은|내 이름은|제이름은|저의 이름은|나의 이름은|성함은|제 성함은|이름은|이름:|성명:|성함:|이름이|\
         私の名前は|わたしの名前は|僕の名前は|俺の名前は|名前は|氏名:|氏名は|名前:|お名前:",
    ),
    (
        Cue::Capital,
        "i am called|i'm called|call me|this is|it's|i am|i'm|they call me|people call me|sincerely,|regards,|yours truly,|\
         signed,|dear|my husband|my wife|my son|my daughter|my boss|my friend|my neighbor|my neighbour|my brother|\
         my sister|my boyfriend|my girlfriend|my teacher|my doctor|my ex|name:|named|username",
    ),
    (
        Cue::Title,
        "mr|mrs|ms|miss|prof|dr.|mr.|mrs.|ms.|prof.|doctor",
    ),
    (Cue::IAmKorean, "저는|나는|제가|전 |안녕하세요"),
    (Cue::IAmJapanese, "私は|わたしは|僕は|俺は|こちらは"),
    (Cue::Called, "と申します|と申しまして|と申す者"),
    (
        Cue::Surname,
        "佐藤|鈴木|高橋|田中|伊藤|渡辺|渡邊|山本|中村|小林|加藤|吉田|山田|佐々木|山口|松本|井上|木村|斎藤|斉藤|清水|山崎|池田|橋本|\
         阿部|石川|山下|中島|石井|小川|前田|岡田|長谷川|藤田|後藤|近藤|村上|遠藤|青木|坂本|福田|太田|西村|藤井|金子|岡本|藤原|中野|\
         三浦|原田|中川|松田|竹内|小野|田村|中山|和田|石田|森田|上田|原|柴田|酒井|工藤|横山|宮崎|宮本|内田|高木|安藤|谷口|大野|丸山|今井",
    ),
];

/// Words behind "my name is" that are no names.
pub(super) const NO_NAMES: &str = "a|an|the|not|no|on|in|at|to|too|so|very|really|being|spelled|spelt|wrong|missing|common|rare|\
    unique|important|irrelevant|what|who|also|still|already|pronounced|written|misspelled|incorrect|mentioned|listed|of|for|\
    from|and|or|but|my|your|his|her|it|its|this|that|there|here|just|only|never|always|long|short|hard|difficult|easy|\
    secret|private|unknown|funny|boring|cool|weird|nice|good|bad|derived|based|taken|going|gonna|changed|changing|known|\
    used|shown|displayed|appearing|correct|right|different|same|japanese|korean|english|french|german|chinese|arabic|\
    greek|latin|because|if|when|sir|ai|alexa|siri";

/// Behind "I am", "this is" and the like, also with a capital.
pub(super) const NO_PERSONS: &str = "i|english|french|german|chinese|japanese|korean|american|british|canadian|indian|italian|\
    spanish|russian|mexican|australian|european|asian|african|christian|catholic|muslim|jewish|buddhist|hindu|monday|tuesday|\
    wednesday|thursday|friday|saturday|sunday|january|february|march|april|may|june|july|august|september|october|november|\
    december|christmas|easter|sparta|america|god|ok|okay|sir|madam|santa|siri|alexa|new|north|south|east|west|not|the|a|an|so|\
    in|on|at|what|who|why|how|when|where|windows|linux|python|google|apple|team|hiring|diary|editor|customer|all|everyone|iron|\
    spider|super|bat|captain|batman|groot|hal|chatgpt|irish|swiss|dutch|danish|polish|turkish|greek|brazilian|vietnamese";

/// Korean words that look like a name before 님 or 씨, or behind 저는.
pub(super) const NO_KOREAN_NAMES: &str = "변호사|전문가|주치의|지도자|주인공|이용자|신청자|진행자|방문자|기획자|조교수|선생|부모|선배|\
    한국인|신입생|이과생|문과생|정상인|전학생|유학생|고등학|이방인|조선족|장애인|장학생|신혼부|성인|백수|천재|최고|하느|예수|\
    임산부|원어민|전업주|이혼남|이혼녀|백수예|주부예|노동자|연구원|공무원|기독교|천주교|지금은|이제는|정말로|방금|최근에|하나|\
    고객|조상|임금|공주|여러분|사용자|지원자|참가자|구독자";

/// Surnames of nineteen in twenty Koreans, one character each.
pub(super) const KOREAN_SURNAMES: &str = "김이박최정강조윤장임한오서신권황안송류전홍고문양손배백허유남심노하곽성차주우구민진지엄채원천방공현함변염여추";
