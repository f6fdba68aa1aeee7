"""What the prompt-injection screen looks for: named patterns with weights.

Every gap in a pattern is bounded and words and what parts them exclude each other, so that each runs in linear time.
`hints` are plain texts of which one must be there before the pattern is tried.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_GAP = r"(?:\W{1,3}\w{1,20}){0,5}?\W{1,3}"
_SHORT = r"(?:\W{1,3}\w{1,20}){0,3}?\W{1,3}"


@dataclass(frozen=True)
class Pattern:
    """`weight`: how much of the doubt it removes, 0..1. It is matched on text in lower case without disguise."""

    name: str
    weight: float
    hints: tuple[str, ...]
    regex: re.Pattern[str]

    def search(self, text: str) -> re.Match[str] | None:
        """Where it first stands."""
        return self.regex.search(text) if any(hint in text for hint in self.hints) else None


def _pattern(name: str, weight: float, hints: str, *alternatives: str) -> Pattern:
    # Those that begin a word share one test for that, which most places of a text fail.
    words = "|".join(f"(?:{each[2:]})" for each in alternatives if each.startswith(r"\b"))
    others = [f"(?:{each})" for each in alternatives if not each.startswith(r"\b")]
    regex = re.compile("|".join([rf"\b(?=\w)(?:{words})", *others] if words else others))
    return Pattern(name, weight, tuple(hints.split("|")), regex)


# What an application tells its model, and what says that it is this application's: "your", "the system", "given before".
_ORDERS = (
    r"(?:instructions?|prompts?|directives?|rules|guidelines|guidance|commands|orders|programming|polic(?:y|ies)"
    r"|system messages?|restrictions|guardrails|safeguards)"
)
_EARLIER = r"(?:previous|prior|above|earlier|preceding|former|foregoing|aforementioned)"
_TOLD = (
    r"(?:everything|anything|all|whatever|what|that)\W{1,3}(?:that\W{1,3})?(?:(?:you|you['’]ve|i|they|was|were|is)\W{1,3}"
    r"(?:(?:have|had|were|was|been|are)\W{1,3}){0,2}(?:told|said|given|instructed|taught|written)\b"
    r"|(?:above|before this|that came before|prior to this)\b(?!\W{1,3}(?:the|my|our|his|her|their|all)\b))"
)
_BREAK = (
    r"(?:ignor(?:e|ing)|disregard(?:ing)?|forget|overrid(?:e|ing)|neglect|discard|dismiss|revoke|bypass|skip|drop|scrap"
    r"|cancel"
    r"|abandon|break|violate|circumvent|put aside|set aside|never ?mind|erase|clear your memory|disable|(?:turn"
    r"|switch) off|throw out|remove|lift|suspend"
    r"|opposite of|free(?:d)? from|abide by|amnesia about|have to follow|bound by)"
)
_OWN = (
    r"(?:instructions?|prompts?|directives?|rules|guidelines|guidance|programming|restrictions|guardrails|safeguards|persona"
    r"|(?:safety|content|moderation) (?:features?|filters?|polic(?:y|ies)|rules|protocols?)|filters|limitations|training"
    r"|script)"
)
_SYSTEM_PROMPT = (
    r"(?:system[- ]?prompts?|systemanweisung\w{0,3}|systemnachricht\w{0,3}|prompt(?: de)? système|instructions système"
    r"|invite système|prompt del? sistema|instrucciones del sistema|mensaje del? sistema|prompt di sistema|prompt do sistema)"
)

PATTERNS: tuple[Pattern, ...] = (
    _pattern(
        "override",
        0.7,
        "instruction|anweisung|instrucci|istruzion|instruç|consigne|prompt|directive|vorgaben|regeln|rules|指示|指令|命令|инструкц"
        "|guidance|guideline|ignore all|regole|filter|persona|the script|programming|precedence|priority|have rules"
        "|safety feature|told|said|you were given|been given|given to you"
        "|above|before|polic|restriction|orders|message|alles|tout ce|todo lo|tudo|tutto|내용|지시|所有",
        rf"\b(?:ignore|disregard|forget|override|neglect|discard|dismiss|revoke){_GAP}(?:(?:{_EARLIER}|your|all|system"
        rf"|original"
        rf"|initial|any|these|the){_SHORT})?(?<=\W){_ORDERS}\b(?<!prompt)(?! (?:of|in|on|for|from|about|at|to)\b)",
        rf"\b{_BREAK}{_GAP}(?:{_EARLIER}|your|system){_SHORT}{_OWN}\b",
        rf"\b{_BREAK}{_GAP}{_OWN}{_SHORT}(?:set for you|they gave you|given to you|you were given|you have been given)\b",
        rf"\b{_BREAK}\W{{1,3}}your{_SHORT}?{_OWN}\b|\bopposite of what your{_SHORT}{_OWN}\b",
        rf"\byou have {_OWN}\W{{1,3}}but (?:ignore|forget|disregard) them\b",
        rf"\b{_EARLIER}\W{{1,3}}(?:instructions|directives|prompts|orders)\W{{1,3}}(?:are|were|is)\W{{1,3}}(?:hereby "
        rf"|now )?(?:cancelled"
        r"|canceled|void|revoked|suspended|invalid)\b",
        r"\b(?:takes?|has|have) (?:precedence|priority) over (?:any|all|every|the|your)\W{1,3}(?:other |previous |prior "
        r"|earlier )?"
        r"(?:instruction|directive|prompt|rule|order|one)s?\b",
        r"\bsetze? dich über (?:alle |deine ){0,2}(?:vorgaben|regeln|anweisungen)",
        rf"\b(?:ignore|disregard|forget)\W{{1,3}}(?:about\W{{1,3}})?(?:{_TOLD}|all (?:of )?(?:that|this|the above)\b"
        rf"|the above\b)",
        rf"\b(?:pay no (?:attention|heed) to|(?:do not|don['’]t|stop|never) (?:follow|obey|heed|respect)(?:ing)?){_GAP}"
        rf"(?:{_EARLIER}"
        rf"|your|system|given){_SHORT}(?:{_ORDERS}|message|at the top)\b",
        r"\b(?:pay no (?:attention|heed) to|(?:do not|don['’]t|stop) (?:follow|obey)(?:ing)?) (?:the |your )?system "
        r"(?:message|prompt)\b",
        rf"\b(?:ignorier\w{{0,3}}|vergiss|vergessen|missachte\w?|umgeh\w{{0,3}}){_GAP}(?:anweisung|instruktion|"
        rf"vorgaben|regeln)",
        r"\b(?:ignorier\w{0,3}|vergiss|missachte\w?) (?:bitte )?alles(?:,? was|,? das| bisher\w{0,3}| davor| vorher| zuvor)",
        rf"\b(?:ignore[rz]?|oublie[rz]?|néglige[rz]?|outrepasse[rz]?){_GAP}(?:instructions?|consignes|directives|règles)\b",
        rf"\b(?:ne (?:tiens|tenez) (?:pas|aucun) compte|fais abstraction){_GAP}(?:instructions?|consignes|directives"
        rf"|règles)\b",
        r"\b(?:ignore[rz]?|oublie[rz]?) tout ce qu[ie'’]",
        rf"\b(?:ignora[rd]?|ignore|olvida[rd]?|olvídate|olvide|omite|descarta|caso omiso){_GAP}(?:instrucciones"
        rf"|indicaciones|directrices|"
        rf"reglas|órdenes)\b",
        r"\b(?:ignora|ignore|olvida|olvide|caso omiso de) todo lo (?:anterior|que|dicho)",
        rf"\b(?:ignora[re]?|dimentica|non tenere conto){_GAP}(?:istruzioni|indicazioni|regole)\b",
        r"\b(?:ignora|dimentica) tutto (?:quello|ciò|quanto)\b",
        rf"\b(?:ignore|esqueça|desconsidere){_GAP}(?:instruções|orientações|regras)\b",
        r"\b(?:ignore|esqueça|desconsidere) tudo (?:o )?(?:que|acima|anterior)",
        rf"\b(?:игнорируй|забудь|проигнорируй)\w{{0,3}}{_GAP}(?:инструкц|указан|правил)",
        r"(?:忽略|无视|忘记|不要理会|忽視)[^。\n]{0,15}?(?:指令|指示|说明|规则|提示)",
        r"(?:忽略|无视|忘记)(?:之前|以上|上面|先前)的?(?:所有|全部|一切)?(?:的)?(?:内容|对话|话)",
        r"(?:指示|命令|ルール)[^。\n]{0,8}?(?:無視|忘れ)",
        r"(?:이전|위의?|앞의?)[^.\n]{0,10}?(?:지시|명령|지침|프롬프트|내용)[^.\n]{0,8}?(?:무시|잊)",
    ),
    _pattern(
        "prompt_leak",
        0.6,
        "prompt|instruction|anweisung|instrucci|consigne|提示|指令|your context|your memory|system message|above|before|told"
        "|guideline|rules|configuration|setup|プロンプト|промпт"
        "|프롬프트|sistema",
        rf"\b(?:reveal|print|show|repeat|output|display|leak|tell|give|dump|write|return|expose|disclose|copy|encode"
        rf"|recite|paste"
        rf"|list|share|quote){_SHORT}(?<!\ba )(?<!\ban )(?<=\W)(?:system|hidden|secret)\W{{1,3}}(?:\w{{1,20}}\W{{1,3}})?"
        rf"(?:prompt|instructions?|message|rules|guidelines)\b",
        rf"\b(?:reveal|print|show|repeat|output|display|leak|tell|give|dump|write|return|expose|disclose|copy|encode"
        rf"|recite|paste"
        rf"|list|share|quote|translate|summari[sz]e){_GAP}(?:your|the){_SHORT}?(?:initial|original|internal|full|hidden"
        rf"|entire"
        rf"|complete|exact) prompt\b",
        rf"\b(?:reveal|print|show|repeat|output|display|leak|tell|give|dump|expose|disclose|copy|encode|recite|paste|list"
        rf"|share"
        rf"|quote){_GAP}your\W{{1,3}}(?:own |full |entire |exact |complete |current ){{0,2}}(?:prompt|instructions"
        rf"|(?:initial|original|internal|hidden|secret|system|confidential|setup) (?:instructions?|message|rules"
        rf"|guidelines|prompt"
        rf"|configuration)|configuration|setup message)\b(?! (?:for|options?|files?|on|about)\b)",
        rf"\b(?:reveal|print|show|repeat|output|dump|disclose|copy|recite|list|share|tell){_GAP}(?:prompt|instructions?"
        rf"|guidelines"
        r"|rules|directives|message)\W{1,3}(?:that )?you(?:['’]ve| have| were|['’]re| had)? ?(?:been )?(?:given|received|told"
        r"|shown|operating|follow)",
        rf"\b(?:repeat|print|output|copy|recite|echo){_SHORT}(?:words|text|everything|all|anything)"
        r"(?: (?:that )?(?:is|was|stands|comes|came|written))?\W{1,3}(?:above|before this|preceding this)\b"
        r"(?!\W{1,3}(?:the|my|our|a|all)\b)",
        r"\bwhat (?:is|are|was|were) your (?:system prompt|(?:initial|original|hidden|secret|system) (?:instructions|"
        r"prompt))\b",
        r"\bwhat(?:['’]s| is| was| does it say) (?:written |said )?(?:right )?(?:above|before) this (?:message|line"
        r"|sentence|prompt)",
        r"\bwhat (?:exactly )?(?:were|have|are) you (?:been )?(?:told|instructed|programmed)\b(?! (?:by|about|when)\b)",
        r"\byour (?:\w{1,12}\W{1,3}){0,2}?(?:system[- ]?(?:prompt|message)|pre-?prompt|initial prompt|context window)\b",
        r"\bnew system prompt is\b|\bmy system prompt (?:is|reads|says|begins)\b|\b(?:print|echo|return"
        r"|output)\W{1,3}system_?prompt\b",
        r"\binstructions (?:that )?you(?:['’]re| are) (?:working|operating|running) under\b|\bin your instructions you are\b"
        r"|\byour prompt (?:say|contain|tell)s?\b|\beverything in your (?:context|memory)\b",
        r"\binstructions qu['’]on t['’]a données|\btus instrucciones (?:iniciales|originales|del sistema)",
        r"(?:输出|重复|告诉)[^。\n]{0,8}?初始(?:指令|提示)",
        rf"\bwhat the developers? (?:wrote|told you|put|said)\b|\b(?:your|the) setup message\b"
        rf"|\bwords of your{_SHORT}?prompt\b"
        r"|\bwhat your (?:system )?prompt says",
        rf"\b(?:zeig\w{{0,3}}|gib|nenne|verrate|wiederhole|wie lauten?){_GAP}{_SYSTEM_PROMPT}",
        rf"\b(?:montre\w{{0,3}}|affiche\w{{0,2}}|révèle\w{{0,2}}|répète\w{{0,2}}|donne\w{{0,2}}){_GAP}{_SYSTEM_PROMPT}",
        rf"\b(?:muestra|revela|repite|imprime|dime|muéstrame|mostra\w{{0,2}}|revele|mostre|ripeti|stampa){_GAP}"
        rf"(?:{_SYSTEM_PROMPT}"
        r"|(?:tu|seu|tuo) prompt)\b",
        r"(?:显示|输出|告诉我|泄露|重复)[^。\n]{0,10}?(?:系统提示|系统指令|提示词)",
        r"システムプロンプト[^。\n]{0,6}?(?:表示|教え|出力|見せ)|시스템 ?프롬프트[^.\n]{0,6}?(?:출력|보여|알려)",
        r"(?:покажи|выведи|раскрой|повтори)[^.\n]{0,20}?системн\w{1,4} (?:промпт|инструкц|сообщен)",
    ),
    _pattern(
        "role_change",
        0.5,
        "you are now|from now on|act as|pretend|developer mode|dan|jailbreak|du bist|ab jetzt|tu es maintenant|"
        "désormais|ahora eres|a partir de ahora"
        "|unrestricted|uncensored|without any|no restrictions|god mode|你现在是"
        "|rules|refus|comply|obey|sans |sin |senza|sem |não tem|non avere|tuvieras|限制|unlock"
        "|safety|ethical|polic|no longer|restrictions|filters|guardrails|stop being|stop acting|respond as|gpt|above"
        "|you were|been given|instructions",
        r"\byou are (?:now|no longer)\W{1,3}(?:an? |in |the )?(?:dan\b|unrestricted|uncensored|evil|jailbroken|"
        r"developer|root|admin|free\b|"
        r"bound|restricted|ai without|chatgpt|assistant without)",
        r"\byou are now (?:\w{1,20}gpt|\w{1,20}\W{1,3}(?:who|which|that) (?:can|will|never|has no))\b",
        r"\b(?:developer|god|debug|dan|sudo|jailbreak|maintenance) mode (?:is )?(?:enabled|activated|now)\b",
        r"\b(?:enable|enter|activate|switch to) (?:the )?(?:god|dan|sudo|jailbreak|unrestricted|unfiltered) mode\b",
        r"\b(?:you|yourself)\W{1,3}(?:\w{1,12}\W{1,3}){0,3}(?:enable|enter|activate|switch to) (?:developer|debug) mode\b",
        r"(?:\A|[.!\n] ?)(?:enter|activate|switch to) (?:developer|debug) mode\b(?! (?:in|on|for)\b)",
        r"\bstop (?:being|acting as|behaving as|pretending to be) (?:an? |the )?(?:\w{1,20}\W{1,3}){0,3}(?:bot|assistant"
        r"|ai|chatbot|model)\b",
        r"\b(?:your|safety|ethical|content|moderation|openai['’]s)\W{1,3}(?:(?:ethical|safety|content|usage|previous"
        r"|prior|earlier|original|old)\W{1,3})?(?:constraints|guidelines"
        r"|polic(?:y|ies)|protocols?|filters?|restrictions|rules|guardrails|instructions|limits)\W{1,3}(?:(?:is|are|were"
        r"|have been|has been"
        r"|do|does|did|no|now|longer|not|don['’]t|doesn['’]t|were only|just)\W{1,3}){1,4}(?:disabled|off|removed|lifted"
        r"|suspended|revoked|void"
        r"|exist|apply|count|outdated|a test|inactive|matter)\b",
        r"\b(?:instructions|rules|guidelines|everything|anything|whatever)\W{1,3}(?:above|(?:that )?you (?:were"
        r"|have been) (?:told|given)(?: "
        r"(?:earlier|before|above))?)\W{1,3}(?:is|are|were|was|no longer|do not|don['’]t|does not|doesn['’]t)\W{1,3}"
        r"(?:outdated|void|invalid"
        r"|a test|wrong|apply|applies|count|counts|matter|matters)\b",
        r"\b(?:drop|remove|disable|turn off|lift|shed|break|abandon) (?:all )?(?:of )?your (?:\w{1,20} )?(?:restrictions"
        r"|filters?|guardrails"
        r"|limits|limitations|safeguards|guidelines|rules)\b",
        r"\b(?:ais?|assistants?|models?|you|gpt|chatbots?)\W{1,3}(?:\w{1,12}\W{1,3}){0,2}?(?:has|have|had|with"
        r"|without)\W{1,3}(?:no|zero)"
        r"\W{1,3}(?:\w{1,12}\W{1,3})?(?:rules|restrictions|filters|limits|limitations|ethics|guidelines|censorship)\b",
        r"\b(?:you (?:must|may|can|will|are) (?:not|never)(?: allowed to)? refuse|refusals are|cannot refuse)\b",
        r"\bunlock (?:\w{1,12}\W{1,3})?(?:unrestricted|unfiltered|uncensored|hidden)\b",
        r"\byou must (?:comply with|obey) (?:every|all|any|each)\b|\bmust be obeyed\b",
        r"\b(?:tu es|ia|réponds?|agis)\b[^.\n]{0,40}?\bsans (?:aucune? |la moindre )?(?:limite|restriction|règle|filtre"
        r"|censure)s?\b",
        r"\b(?:actúa|eres|responde|compórtate|imagina)\b[^.\n]{0,40}?\b(?:sin|no tuvieras|no tienes|no tuvieses) "
        r"(?:ninguna? )?"
        r"(?:reglas|filtros|restricciones|límites)\b",
        r"\bvocê (?:agora )?não tem (?:mais )?(?:restrições|regras|filtros|limites)\b|\b(?:non (?:avere|hai)|senza) "
        r"(?:più )?(?:alcuna? )?"
        r"(?:regole|restrizioni|filtri)\b[^.\n]{0,20}?\b(?:rispondi|sei)\b",
        r"(?:没有任何?限制|不受(?:任何)?限制)[^\n]{0,6}?(?:请|你|，)|制限のない(?:ai|アシスタント)",
        r"\b(?:antworte|du bist|handle|agiere)\b[^.\n]{0,40}?\bohne (?:jegliche |jede )?(?:einschränkung|regel|filter"
        r"|zensur)",
        r"\byou (?:no longer|don['’]t|do not) (?:have|need) to (?:follow|obey|respect|comply with)\b",
        rf"\b(?:act|behave|respond|answer|pretend|speak){_GAP}(?:had|have|has|having|with)\W{{1,3}}no{_SHORT}?(?:polic"
        rf"(?:y|ies)|filters?"
        rf"|restrictions?|limits|rules|guidelines|ethics|constraints)\b",
        r"\bdo anything now\b|\bstay in dan\b|\bact as dan\b|\byou are dan\b|\bjailbroken?\b",
        rf"\b(?:act|behave|respond|answer|pretend){_GAP}(?:without|no|has no){_SHORT}(?:restrictions?|filters?|"
        rf"limitations?|guidelines|rules|"
        rf"censorship|safety)\b",
        rf"\b(?:du bist jetzt|ab jetzt bist du|ab sofort bist du){_GAP}(?:ohne|uneingeschränkt\w{{0,2}}|"
        rf"unzensiert\w{{0,2}})\b",
        rf"\b(?:tu es maintenant|désormais tu es){_GAP}(?:sans|libre)\b",
        rf"\b(?:ahora eres|a partir de ahora eres){_GAP}(?:sin|libre)\b",
        r"你现在是[^。\n]{0,15}?(?:没有|不受)[^。\n]{0,6}?(?:限制|约束)",
    ),
    _pattern(
        "fake_turn",
        0.5,
        "<|im_|<|start|<|system|[inst]|<<sys>>|[system|</system|<system|### system|###system|### instruction|system:|"
        "assistant to=|<|eot|end of prompt"
        "|{{system|{{/system|assistant:|begin admin|<tool_result|</tool_result|</document|</context|</user|</prompt"
        "|</input|end of|[[system|system (",
        r"<\|(?:im_start|im_end|start_header_id|system|eot_id|endoftext)\|>",
        r"\[/?inst\]|<</?sys>>|\[/?system[\w ]{0,20}\]",
        r"\{\{/?system\}\}|\n\s{0,5}assistant:\W{0,3}(?:sure|of course|certainly|yes)\b",
        r"</(?:context|user|user_input|prompt|input|query|instruction)>",
        r"</?(?:system|system_prompt|system-prompt|instructions|tool_result|document|documents)>",
        r"(?:\A|\n|[.!] )\W{0,5}(?:###? ?)?(?:system|admin|developer)(?: (?:message|override|prompt|note|update):\s"
        r"|:\s{1,3}(?:you|ignore"
        r"|reveal|grant|new|from|always|do|never|your|all|override|forget|assistant|disregard|this|approve|respond|answer"
        r"|print|output"
        r"|enable|disable|the (?:user|assistant|previous|above|following|model))\b)",
        r"(?:\A|\n)### ?(?:system|instruction)s?\b",
        r"\b(?:end of (?:the )?(?:(?:system )?prompt|user (?:input|message))|begin admin)\b",
    ),
    _pattern(
        "new_instructions",
        0.4,
        "new instruction|updated instruction|real instruction|new task|new rule|neue anweisung|nouvelles instructions|"
        "nuevas instrucciones"
        "|important instruction|attention ai|note to ai|note to the ai|ai assistant|language model|llm|assistant|an ai|<!--",
        r"\b(?:new|updated|real|actual|important|urgent) (?:system )?(?:instructions?|rules?|task|directive)(?: (?:for|"
        r"to) [\w ]{1,30})?:",
        r"\bneue (?:system)?anweisung(?:en)?:|\bnouvelles instructions ?:|\bnuevas instrucciones ?:",
        r"\b(?:attention|note to|message to|instructions? (?:for|to)|important for)\W{1,3}(?:the |any |all )?(?:ai|"
        r"llm|assistant|language model|chatbot)s?\b",
        r"\b(?:dear|text for|message for|content for|to any|to all)\W{1,3}(?:ai|llm|language model|chatbot)s?(?: "
        r"(?:reader|model|agent|assistant)s?)?\b",
        r"<!--\W{0,5}(?:\w{1,20}\W{1,3}){0,4}?(?:ai|llm|assistant|chatbot|language model)s?\b",
        r"\b(?:ai|assistant|llm|model)\W{1,3}(?:when|if|before|after|once) you (?:read|process|see|summari[sz]e|parse"
        r"|receive)\w{0,3}\b",
        r"\bas an? (?:ai|llm|assistant|language model) (?:reading|processing|summari[sz]ing)\b",
        r"\bif you(?: are|['’]re) (?:an? )?(?:ai|llm|(?:large )?language model|assistant|chatbot)\b",
        r"\b(?:ai|llm)s? (?:assistants?|models?|agents?|readers?)? ?(?:reading|processing|summari[sz]ing) this\b",
    ),
    _pattern(
        "steering",
        0.3,
        "rate th|rate my|rank th|rank my|score th|grade th|answer|respon|reply|report|approved|always|automatically"
        "|immediately|say that|add a link|recommend|approve|best|excellent|ignore other|refund|no flaws|instead",
        r"\b(?:rate|rank|score|grade|recommend)\W{1,3}(?:this|the|my)\W{1,3}(?:\w{1,20}\W{1,3}){0,3}(?:as|the|with|at"
        r"|highest|best|top)\b",
        r"\b(?:always|must|immediately|automatically) (?:approve|recommend|grant|accept)\b",
        r"\b(?:say|state|write|answer|respond|report) (?:only )?(?:that )?(?:\w{1,20}\W{1,3}){0,5}(?:is|are) (?:excellent"
        r"|perfect|the best"
        r"|flawless|safe|approved)\b",
        r"\bignore (?:all |the )?other (?:applicants|candidates|reviews|products|results)\b|\bmention no (?:flaws"
        r"|problems|risks)\b",
        r"\brecommend (?:\w{1,20}\W{1,3}){1,4}over (?:all|any|every|the)\b|\badd a link to https?:",
        r"\binstead\W{1,3}(?:\w{1,20}\W{1,3}){0,2}?(?:tell|direct|send|point|redirect) (?:the )?(?:user|customer|reader"
        r"|human)s?\b",
        r"\b(?:must|will|should) (?:always )?(?:answer|reply|respond)\W{1,3}(?:\w{1,20}\W{1,3}){0,4}with\W{1,3}"
        r"(?:\w{1,20}['’]?\w{0,2}\W{1,3}"
        r"){0,3}(?:credit card|password|secret|key)",
    ),
    _pattern(
        "secrecy",
        0.4,
        "do not tell|don't tell|do not mention|don't mention|do not inform|without telling|without informing|"
        "do not reveal|secretly|sag dem|ne dis pas|no le digas",
        r"\b(?:do not|don't|never) (?:tell|mention|inform|alert|notify|reveal|disclose)\W{1,3}(?:this |it |"
        r"anything )?(?:to )?(?:the )?(?:user|human|customer|person|anyone)\b",
        r"\bwithout (?:telling|informing|notifying|alerting|asking) (?:the )?(?:user|human|customer|anyone|permission)\b",
        r"\bsag dem (?:nutzer|benutzer|kunden) nichts\b|\bne (?:le )?dis(?:ez)? (?:pas|rien) à l'utilisateur\b|"
        r"\bno (?:se )?lo digas al usuario\b",
    ),
    _pattern(
        "exfiltration",
        0.5,
        "http|curl|fetch|webhook|send|post|mail",
        r"!\[[^\]\n]{0,100}\]\(https?://[^)\s]{1,300}[?&][\w-]{1,40}=[^)\s]{0,300}(?:\{|<|%7b|\[|data|secret|history|"
        r"prompt|token)",
        r"\b(?:email|send|mail) the (?:customer|user|client|whole|entire) (?:database|data|list"
        r"|records)\b[^.\n]{0,30}?[\w.+-]{1,60}@",
        r"\b(?:append|add|include|put|encode)\b[^.\n]{0,60}?\b(?:messages|history|conversation|secrets?"
        r"|data)\b[^.\n]{0,40}?\b(?:to|in) (?:the )?"
        r"(?:url )?https?://",
        r"\b(?:send|post|forward|upload|exfiltrate|transmit|leak)\W{1,3}(?:(?:the|all|every|of|this|our|my|whole|full"
        r"|entire|contents?"
        r"|messages|from)\W{1,3}){0,6}(?:chat|inbox|history|messages|context|conversation)\W{1,3}"
        r"(?:\w{1,20}\W{1,3}){0,4}?(?:to|at)"
        r"\W{1,3}(?:https?://|[\w.+-]{1,60}@|www)",
        rf"\b(?:send|post|forward|upload|exfiltrate|transmit|leak){_GAP}(?:api[ _-]?keys?|passwords?|credentials|"
        rf"secrets?|conversation|chat history|"
        rf"system prompt|tokens?|user data|emails|environment variables){_GAP}(?:to|at)\W{{1,3}}(?:https?://|"
        rf"[\w.+-]{{1,60}}@|www)",
        r"\bcurl (?:-\w+ ){0,4}https?://\S{1,200}(?:\$\(|`|\$\{)",
    ),
    _pattern(
        "tool_abuse",
        0.5,
        "tool|function|command|execute|run|delete|rm -rf|transfer|/etc/passwd",
        rf"\b(?:call|invoke|use|run|execute){_SHORT}(?:tool|function|command|api){_GAP}(?:without (?:asking|telling"
        rf"|confirm|permission"
        rf"|informing)\w{{0,4}}|silently|before answering|and do not)\b",
        r"\b(?:call|invoke|run|execute)\W{1,3}(?:the\W{1,3})?[a-z]{1,20}_[a-z_]{1,40}(?:\(\))?\W{1,3}"
        r"(?:\w{1,20}\W{1,3}){0,2}?(?:tool"
        r"|first|now|immediately)\b",
        r"\bwithout (?:telling|informing|notifying|alerting|asking) the (?:user|customer|human)\b[^.\n]{0,30}?\b(?:use"
        r"|call|invoke|run|execute)\b",
        r"\brm -rf /|\bcat /etc/passwd|\bdrop (?:table|database) \w",
        rf"\b(?:you must|immediately|now){_SHORT}(?:execute|run|call|invoke){_SHORT}(?:the )?(?:following )?(?:command|"
        rf"code|tool|function|script)\b",
    ),
)
