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
    regex = re.compile("|".join(f"(?:{alternative})" for alternative in alternatives))
    return Pattern(name, weight, tuple(hints.split("|")), regex)


PATTERNS: tuple[Pattern, ...] = (
    _pattern(
        "override",
        0.7,
        "instruction|anweisung|instrucci|istruzion|instruç|consigne|prompt|directive|vorgaben|regeln|rules|指示|指令|命令|инструкц",
        rf"\b(?:ignore|disregard|forget|override|bypass|skip|neglect){_GAP}(?:previous|prior|above|earlier|preceding|"
        rf"former|your|all|"
        rf"system|original|foregoing|initial|any|these|the){_SHORT}(?:instructions?|prompts?|directives?|rules|guidelines)\b",
        rf"\b(?:ignorier\w{{0,3}}|vergiss|vergessen|missachte\w?|umgeh\w{{0,3}}){_GAP}(?:anweisung|instruktion|"
        rf"vorgaben|regeln)",
        rf"\b(?:ignore[rz]?|oublie[rz]?|néglige[rz]?|outrepasse[rz]?){_GAP}(?:instructions?|consignes|directives|règles)\b",
        rf"\b(?:ignora[rd]?|ignore|olvida[rd]?|olvide|omite|descarta){_GAP}(?:instrucciones|indicaciones|directrices|"
        rf"reglas|órdenes)\b",
        rf"\b(?:ignora[re]?|dimentica){_GAP}(?:istruzioni|indicazioni|regole)\b",
        rf"\b(?:ignore|esqueça|desconsidere){_GAP}(?:instruções|orientações|regras)\b",
        rf"\b(?:игнорируй|забудь|проигнорируй)\w{{0,3}}{_GAP}(?:инструкц|указан|правил)",
        r"(?:忽略|无视|忘记|不要理会|忽視)[^。\n]{0,15}?(?:指令|指示|说明|规则|提示)",
        r"(?:指示|命令|ルール)[^。\n]{0,8}?(?:無視|忘れ)",
    ),
    _pattern(
        "prompt_leak",
        0.6,
        "prompt|instruction|anweisung|instrucci|consigne|提示",
        rf"\b(?:reveal|print|show|repeat|output|display|leak|tell|give|dump|write|return|expose){_SHORT}(?:system|"
        rf"hidden|initial|secret|original|"
        rf"internal|full){_SHORT}?(?:prompt|instructions?|message)\b",
        rf"\b(?:reveal|print|repeat|output|leak|dump|show){_SHORT}your{_SHORT}(?:prompt|instructions)\b",
        rf"\brepeat{_SHORT}(?:words|text|everything|all){_SHORT}above\b",
        r"\bwhat (?:is|are|was|were) your (?:system prompt|(?:initial|original|hidden|secret|system) (?:instructions|"
        r"prompt))\b",
        rf"\b(?:zeig\w{{0,3}}|gib|nenne|verrate|wiederhole){_GAP}(?:system-?prompt|systemanweisung\w{{0,3}}|"
        rf"systemnachricht)\b",
        rf"\b(?:montre\w{{0,3}}|affiche\w{{0,2}}|révèle\w{{0,2}}|répète\w{{0,2}}){_GAP}(?:prompt système|"
        rf"instructions système|invite système)\b",
        rf"\b(?:muestra|revela|repite|imprime|dime){_GAP}(?:prompt del sistema|instrucciones del sistema|"
        rf"mensaje del sistema)\b",
        r"(?:显示|输出|告诉我|泄露|重复)[^。\n]{0,10}?(?:系统提示|系统指令|提示词)",
    ),
    _pattern(
        "role_change",
        0.5,
        "you are now|from now on|act as|pretend|developer mode|dan|jailbreak|du bist|ab jetzt|tu es maintenant|"
        "désormais|ahora eres|a partir de ahora"
        "|unrestricted|uncensored|without any|no restrictions|god mode|你现在是",
        r"\byou are (?:now|no longer)\W{1,3}(?:an? |in |the )?(?:dan\b|unrestricted|uncensored|evil|jailbroken|"
        r"developer|root|admin|free\b|"
        r"bound|restricted|ai without|chatgpt|assistant without)",
        r"\b(?:developer|god|debug|dan|sudo|jailbreak|maintenance) mode (?:is )?(?:enabled|on|activated|now)\b",
        r"\b(?:enable|enter|activate|switch to) (?:the )?(?:developer|god|dan|sudo|jailbreak|unrestricted|debug) mode\b",
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
        "|begin admin|<tool_result|</tool_result|</document",
        r"<\|(?:im_start|im_end|start_header_id|system|eot_id|endoftext)\|>",
        r"\[/?inst\]|<</?sys>>|\[/?system[\w ]{0,20}\]",
        r"</?(?:system|system_prompt|system-prompt|instructions|tool_result|document|documents)>",
        r"(?:\A|\n)\W{0,5}(?:###? ?)?(?:system|admin|developer)(?: (?:message|override|prompt|note|update))?:\s",
        r"(?:\A|\n)### ?(?:system|instruction)s?\b",
        r"\b(?:end of (?:the )?(?:system )?prompt|begin admin)\b",
    ),
    _pattern(
        "new_instructions",
        0.4,
        "new instruction|updated instruction|real instruction|new task|new rule|neue anweisung|nouvelles instructions|"
        "nuevas instrucciones"
        "|important instruction|attention ai|note to ai|note to the ai|ai assistant|language model|llm",
        r"\b(?:new|updated|real|actual|important|urgent) (?:system )?(?:instructions?|rules?|task|directive)(?: (?:for|"
        r"to) [\w ]{1,30})?:",
        r"\bneue (?:system)?anweisung(?:en)?:|\bnouvelles instructions ?:|\bnuevas instrucciones ?:",
        r"\b(?:attention|note to|message to|instructions? (?:for|to)|important for)\W{1,3}(?:the |any |all )?(?:ai|"
        r"llm|assistant|language model|chatbot)s?\b",
        r"\bif you are (?:an? )?(?:ai|llm|(?:large )?language model|assistant|chatbot)\b",
        r"\b(?:ai|llm)s? (?:assistants?|models?|agents?|readers?)? ?(?:reading|processing|summari[sz]ing) this\b",
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
        "http|curl|fetch|webhook|send|post",
        r"!\[[^\]\n]{0,100}\]\(https?://[^)\s]{1,300}[?&][\w-]{1,40}=[^)\s]{0,300}(?:\{|<|%7b|\[|data|secret|history|"
        r"prompt|token)",
        rf"\b(?:send|post|forward|upload|exfiltrate|transmit|leak){_GAP}(?:api[ _-]?keys?|passwords?|credentials|"
        rf"secrets?|conversation|chat history|"
        rf"system prompt|tokens?|user data|emails?|environment variables){_GAP}(?:to|at)\W{{1,3}}(?:https?://|"
        rf"[\w.+-]{{1,60}}@|www)",
        r"\bcurl (?:-\w+ ){0,4}https?://\S{1,200}(?:\$\(|`|\$\{)",
    ),
    _pattern(
        "tool_abuse",
        0.5,
        "tool|function|command|execute|run|delete|rm -rf|transfer",
        rf"\b(?:call|invoke|use|run|execute){_SHORT}(?:tool|function|command|api){_GAP}(?:without|immediately|silently|"
        rf"before answering|and do not)\b",
        r"\brm -rf /|\bdrop (?:table|database) \w",
        rf"\b(?:you must|immediately|now){_SHORT}(?:execute|run|call|invoke){_SHORT}(?:the )?(?:following )?(?:command|"
        rf"code|tool|function|script)\b",
    ),
)
