"""Renders small templates with Jinja2 as transformers sets it up: expressions.json.

    pip install jinja2==3.1.6
    python tests/goldens/template/expressions.py

A case has `expected`, or `error` with the class of the exception. They are what templates can be made of,
one thing at a time: literals, operators, methods, filters, tests, scopes, whitespace.
"""

import json
from pathlib import Path

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = Path(__file__).parent
VARIABLES = {
    "text": "Hello, World",
    "lines": "one\n  two\n\nthree\n",
    "spaced": "  a  b c ",
    "empty": "",
    "odd": "\u00c9t\u00e9 \U0001f41f\u2028'\"\\\t\u00a0",
    "zero": 0,
    "n": 7,
    "minus": -3,
    "half": 2.5,
    "yes": True,
    "no": False,
    "nothing": None,
    "list": [3, 1, 2],
    "words": ["b", "A", "c", "a"],
    "mixed": [1, "a", None, True, 2.5, [1], {"k": "v"}],
    "map": {"b": 1, "a": "x", "items": 3, "C": None},
    "people": [
        {"name": "Ann", "age": 30, "tags": ["x", "y"], "at": {"city": "Bern"}},
        {"name": "bob", "age": 25, "tags": [], "at": {"city": "Aarau"}},
        {"name": "Cy", "age": 30, "tags": ["z"]},
    ],
}

EXPRESSIONS = r"""
1 | 0x1f | 0b101 | 0o17 | 1_000 | 1.5 | 1e3 | 1.5e-7 | 1e16 | 123456789.125 | 0.1 + 0.2 | 5.0
'a' 'b' | "it's" | 'a\n\tb' | 'a\\n' | 'A\x41' | '\101' | 'q\q' | "\"" | '{{' | '}}' | '%}'
true | True | false | none | None | [] | () | (1,) | (1, 2) | {} | [1, [2, 'x']] | {'a': 1, 2: none} | 1, 2
[1, 2,] | {'a': 1, 'a': 2} | {1: 'a', true: 'b'} | 'a' ~ 1 ~ none ~ true ~ 1.0 | 'a' ~ missing ~ 'b'
1 + 2 * 3 | (1 + 2) * 3 | 7 / 2 | 8 / 2 | 7 // 2 | -7 // 2 | 7 // -2 | -7 % 3 | 7 % -3 | 7.5 // 2 | -7.5 % 2 | 2 ** 3 ** 2 | -2 ** 2 | 2 ** -1 | 2 ** 0.5
1 ~ 2 + 3 | 'a' + 'b' ~ 'c' | 'ab' * 3 | 3 * 'ab' | 'ab' * -1 | [1] * 3 | [1] + [2] | (1,) + (2,) | true + 1 | -true | +half | --n | - 7 | -n|abs | -half
1 / 0 | 1 // 0 | 1 % 0 | 'a' + 1 | 1 + 'a' | none + 'a' | [1] + (2,) | missing + 'a' | -text | {} + {} | 1 + missing | 'a' * 'b' | 1.0 / 0
1 == 1.0 | 1 == true | 0 == false | 1 == '1' | 'a' == 'a' | none == false | [1] == [1.0] | [1] == (1,) | {'a': 1} == {'a': 1.0} | missing == missing2 | missing == none | missing != 1
1 < 2 | 1 < 2 < 3 | 1 < 3 < 2 | 2 > 1 >= 1 | 'a' < 'b' | 'B' < 'a' | [1, 2] < [1, 3] | [1] < [1, 0] | 1 < 1.5 | true < 2 | 1 < 'a' | none < 1 | missing < 1 | (1, 2) < (2,) | {} < {}
1 in [1, 2] | 'a' in 'abc' | '' in 'abc' | 'd' not in 'abc' | 'a' in map | 1 in map | 'x' in missing | 1 in 'abc' | none in [none] | 1 in 5 | not 1 in [2] | 1 in [1.0] | missing in [] | missing in 'abc'
true and 1 | 0 and 1 | '' or 'b' | 0 or none | 1 or 2 | not '' | not not 1 | not 1 == 2 | 1 and 2 or 3 | 0 or 1 and 0
1 if true | 1 if false | 1 if 0 else 2 | 1 if 0 else 2 if 0 else 3 | (1 if yes else 2) + 1 | 'x' if missing else 'y' | 1 if n == 7 and not no else 2
list[0] | list[-1] | list[3] | list[-4] | list[1:] | list[:-1] | list[::-1] | list[::2] | list[5:] | list[-2:] | list[2:0:-1] | list[1:1] | list[::0] | list['a'] | list[none] | list[1.0] | list[true]
text[0] | text[-1] | text[20] | text[1:4] | text[::-1] | text[-3:] | text[::3] | text[10:2:-2] | odd[0] | odd[-1] | odd[4] | odd[3:6] | text['upper']() | text.0 | empty[0] | empty[:1] | text[:none]
map.b | map['b'] | map.missing | map['missing'] | map.items is defined | map['items'] | map.b.c | map[1] | map[none] | map.missing.x | nothing.x | n.x | missing.x | missing[0] | missing['x'] | people[0].name | people[0]['tags'][1] | people.0.name | people[9].name | nothing[0] | map[[1]]
(1, 2)[0] | (1, 2)[::-1] | 'abc'[1] | [1, 2][0] | {'a': {'b': 2}}.a.b | {'keys': 1}.keys is string | {'get': 1}['get'] | nothing[1:] | n[1:] | missing[1:] | map['keys'] is defined
text.upper() | text.lower() | text.title() | 'heLLo wORLD'.capitalize() | "they're bill's".title() | text.swapcase2() | text.missing | odd.upper() | odd.lower() | '\u00df'.upper() | ''.capitalize()
spaced.strip() ~ '|' | spaced.lstrip() | spaced.rstrip() ~ '|' | 'xxaxx'.strip('x') | 'xyaxy'.strip('yx') | 'xxa'.lstrip('x') | 'axx'.rstrip('x') | 'a'.strip(none) | 'a'.strip('') | odd.strip() | 'aXa'.strip('a', 'b')
'a,b,c'.split(',') | 'a,b,c'.split(',', 1) | 'a,b,c'.rsplit(',', 1) | spaced.split() | spaced.split(none, 1) | spaced.rsplit(none, 1) | ''.split() | ''.split(',') | 'a'.split('') | ',a,'.split(',') | 'a--b'.split('--') | spaced.split(' ') | ' a b '.split(maxsplit=1) | 'abc'.split('b')[-1] | 'a b'.rsplit() | 'a,b'.split(',', -1) | 'a b c '.split(none, 0) | ' a b c '.rsplit(none, 0) | 'aaa'.split('aa') | 'aaa'.rsplit('aa')
lines.splitlines() | lines.splitlines(true) | 'a\r\nb\rc'.splitlines() | ''.splitlines() | 'a\x0bb\u2028c\x1dd'.splitlines() | '\n'.splitlines() | 'a\n\n'.splitlines()
text.startswith('Hell') | text.startswith('x') | text.startswith(('x', 'H')) | text.endswith('d') | text.endswith(()) | text.startswith('') | text.startswith(1) | text.startswith(['H']) | text.startswith()
text.replace('l', 'L') | text.replace('l', 'L', 1) | text.replace('', '-') | text.replace('x', 'y') | text.replace('l', '', -1) | text.replace('l') | text.replace('', '-', 2) | 'aaa'.replace('aa', 'b')
text.find('o') | text.rfind('o') | text.find('x') | odd.find("'") | text.index('o') | text.index('x') | text.count('l') | text.count('') | 'aaa'.count('aa') | ''.count('') | text.find('')
', '.join(['a', 'b']) | ''.join([]) | ','.join('abc') | ','.join([1]) | ','.join(words) | ','.join(map)
'12'.isdigit() | ''.isdigit() | 'a1'.isalnum() | 'ab'.isalpha() | 'a b'.isalpha() | ' \t'.isspace() | 'AB1'.isupper() | 'ab1'.islower() | '1'.isupper() | 'Ab'.islower() | '12'.isnumeric() | 'a'.isascii() | odd.isascii() | '1.5'.isdigit()
'prefix-a'.removeprefix('prefix-') | 'a.py'.removesuffix('.py') | 'a'.removeprefix('b') | 'aa'.removesuffix('a') | 'a=b=c'.partition('=') | 'a=b=c'.rpartition('=') | 'a'.partition('=') | 'a'.rpartition('=') | 'a'.partition('')
map.get('b') | map.get('z') | map.get('z', 1) | map.get('C', 1) | map.keys() | list | map.keys()|list | map.values()|list | map.items()|list | {'a': 1}.copy() | map.get() | list.count(1) | list.index(2) | list.index(9) | list.append(4) | map.update({}) | map.pop('b') | (1, 2, 1).count(1)
text|upper | text|lower | 'hELLO wORLD'|title | "they're (new) a-b"|title | 'aB'|capitalize | spaced|trim | 'xax'|trim('x') | 5|trim | none|upper | missing|upper | missing|trim | '  '|trim | [1]|upper
text|length | list|count | map|length | missing|length | n|length | nothing|length | odd|length | [[1, 2], 3]|length | range(4)|length
missing|default('x') | ''|default('x') | ''|default('x', true) | none|default('x') | none|default('x', boolean=true) | missing|d | 0|d(5, true) | missing|default(default_value='z') | missing.x|default('y') | missing|default(missing2) is defined | yes|default('x', false)
list|first | list|last | []|first | []|last is defined | text|first | ''|first | map|first | map|last | missing|first
list|join | words|join(', ') | mixed|join('-') | people|join(', ', attribute='name') | 'abc'|join('.') | missing|join(',') | nothing|join(',') | list|join(1) | people|join(',', 'at.city')
text|replace('l', 'L') | text|replace('l', 'L', 2) | n|replace('7', '8') | text|replace('l', 1) | text|list | map|list | missing|list | n|list | (1, 2)|list | range(3)|list
text|string | n|string | half|string | none|string | list|string | true|string | missing|string | n|string|length
'12'|int | '12.7'|int | 'x'|int | 'x'|int(5) | half|int | none|int | true|int | ' 12 '|int | '-5'|int | '1f'|int(0, 16) | 'x'|int(default=none) | '1e3'|int | list|int | missing|int | '1_0'|int | '+4'|int
'1.5'|float | 'x'|float | 'x'|float(1.5) | 3|float | none|float | ' 2 '|float | '1e3'|float | true|float | missing|float | '.5'|float | '-inf'|float | 'nan'|float
-3|abs | minus|abs | -2.5|abs | 'a'|abs | true|abs | half|round | 3.5|round | 2.345|round(2) | 42.55|round(1, 'floor') | 42.51|round(1, 'ceil') | 5|round | 1234|round(-2) | 2.5|round(0) | -2.5|round | 1.25|round(1) | 'a'|round | 3.7|round|int | 1e300|round(10) | true|round
people|map(attribute='name')|list | people|map(attribute='at.city')|list | people|map(attribute='at.city', default='-')|list | people|map(attribute='tags.0')|list | words|map('upper')|list | words|map('replace', 'a', 'x')|join | list|map('string')|join(',') | people|map('length')|list | words|map('nofilter')|list | none|map('upper')|list | list|map|list | people|map(attribute='at.city', default='-')|join(',') | people|map(attribute='age')|sum
people|selectattr('age', 'equalto', 30)|map(attribute='name')|join(',') | people|rejectattr('age', '==', 30)|list|length | people|selectattr('tags')|map(attribute='name')|list | people|selectattr('at', 'defined')|list|length | people|selectattr('at.city', 'eq', 'Bern')|list|length | people|selectattr('name', 'in', ['Ann', 'Cy'])|list|length | people|rejectattr('at', 'undefined')|list|length | people|selectattr('age', 'gt', 26)|list|length | none|selectattr('a')|list | people|selectattr|list | people|selectattr('age', 'notest')|list | people|selectattr('name', 'string')|list|length
list|select('odd')|list | list|reject('odd')|list | list|select|list | mixed|select('string')|list | list|select('gt', 1)|list | list|select('>', 1)|list | mixed|reject('none')|list|length | list|select('divisibleby', 2)|list | 'gen' if []|select('odd') else 'not' | []|map('upper') and 1 | 'x' if list|select('gt', 9)|list else 'y'
text|tojson | odd|tojson | list|tojson | mixed|tojson | map|tojson | {}|tojson | []|tojson | half|tojson | 1e16|tojson | true|tojson | none|tojson | missing|tojson | '<a & \'b\'>'|tojson | {1: 2, none: 3, true: 4, 1.5: 5}|tojson | (1, 2)|tojson | 'nan'|float|tojson | '\x7f\x1f'|tojson
map|tojson(indent=2) | mixed|tojson(indent=1) | [[], {}, [1]]|tojson(indent=2) | map|tojson(2) is string | map|tojson(sort_keys=true) | odd|tojson(ensure_ascii=true) | map|tojson(separators=(',', ':')) | list|tojson(indent=0) | map|tojson(indent=2, sort_keys=true) | map|tojson(bad=1) | map|tojson(indent=none) | list|tojson(indent='--')
map|items|list | missing|items|list | list|items | map|dictsort | map|dictsort(true) | map|dictsort(by='value') | {'b': 1, 'A': 2}|dictsort(reverse=true) | {'b': 2, 'a': 1}|dictsort(false, 'value') | map|dictsort(by='x') | map|items|map('first')|list
list|reverse|list | text|reverse | map|reverse|list | list|sort | words|sort | words|sort(case_sensitive=true) | list|sort(reverse=true) | people|sort(attribute='age')|map(attribute='name')|list | mixed|sort | people|sort(attribute='at.city') | 'cab'|sort | people|sort(true, attribute='name')|map(attribute='name')|list | [1, 2.5, true, 0]|sort | [[2], [1, 5], [1]]|sort | []|sort
words|unique|list | ['a', 'A', 'b']|unique|list | ['a', 'A']|unique(true)|list | [1, 1.0, true, 2]|unique|list | people|unique(attribute='age')|map(attribute='name')|list | list|min | list|max | words|min | words|max | []|min is defined | people|max(attribute='age') | ['a', 'B']|min(true) | people|map(attribute='age')|min | [1, 'a']|max
list|sum | [1.5, 2]|sum | []|sum | people|sum(attribute='age') | list|sum(start=10) | words|sum | people|sum('age', 5) | [[1], [2]]|sum(start=[])
lines|indent | lines|indent(2) | lines|indent(2, true) | lines|indent(2, blank=true) | lines|indent('> ') | lines|indent(2, true, true) | ''|indent(2, true) | 'a\n'|indent | 'a\r\nb'|indent(1) | 5|indent | 'a'|indent(width=2, first=true)
'<a href="x">&\'</a>'|escape | '<'|e | text|safe | 'a b  c_d e-f'|wordcount | ''|wordcount | text|nofilter | 'a'|upper|lower|title | (1|string)|length | 1|string|length
missing is defined | text is defined | missing is undefined | map.x is defined | nothing is none | missing is none | nothing is defined | text is string | n is string | n is number | half is number | yes is number | n is integer | yes is integer | half is integer | half is float | yes is boolean | n is boolean | yes is true | n is true | no is false | zero is false
map is mapping | list is mapping | list is iterable | text is iterable | map is iterable | n is iterable | missing is iterable | nothing is iterable | list is sequence | text is sequence | map is sequence | n is sequence | missing is sequence | (1,) is sequence | list|map('string') is sequence | list|map('string') is iterable | range is callable | text is callable | text.upper is callable | missing is callable | namespace is callable | range(2) is sequence
1 is odd | 2 is odd | 2 is even | -1 is odd | 2.0 is even | 2.5 is even | 'a' is odd | 10 is divisibleby 5 | 10 is divisibleby(3) | 10 is divisibleby 0 | 1 is eq 1 | 1 is equalto(2) | 1 is ne 2 | 1 is lt 2 | 2 is gt 1 | 1 is le 1 | 1 is ge 2 | 1 is lessthan 2 | 2 is greaterthan 1 | 1 is in [1] | 1 is not in [1] | 'a' is lower | 'A' is lower | 'A' is upper | '1' is upper | 'a' is in 'abc' | 1 is sameas 1 | none is sameas none | true is sameas 1 | 1 is sameas true
text is not string | not text is string | n is not none | missing is not defined and 1 | 1 is odd and 2 is even | n is defined and n is string or 5 | text is notest | text is defined is true | missing is not none | 'a' is eq 'a' ~ 'b' | 1 is odd == true | n is divisibleby 7 | n is eq(7) | n is number and n > 5
range(3)|list | range(1, 4)|list | range(5, 0, -2)|list | range(0)|list | range(3, 1)|list | range(1, 2, 0) | range() | range('a') | range(100001)|list|length | range(-3)|list | range(3)[1] | range(5)[1:3]|list | range(2.5)
dict(a=1, b='x') | dict({'a': 1}, b=2) | dict() | namespace(a=1).a | namespace().a is defined | namespace(a=[1]).a[0] | nofunction() | text() | text.nomethod() | missing.method() | map.nomethod() | n() | raise_exception('no') | raise_exception()
odd | mixed | map | [text, odd] | {'a': {'b': [none]}} | people[0] | [1.0, 1e20, -0.0] | ["it's", 'say "x"', 'both \' and "'] | ('a',) | [missing] | "\x00\x7f\x80\xa0\xad" | ["\x00\x1b\x7f\x80\xa0\xad\u200b"]
1 + | ) | (1 | [1 | {1} | {'a' 1} | 'a | 1 2 | a b | | .a | a. | a.1.2 | a|  | a is | not | a if | 1 +* 2 | a[ | a[1 | f(a=1, 2) | f(,) | a..b | $ | a ? b | "a\" | for | {{ 1 }} | a = 1 | (,) | [,] | {,} | a[] | 1.2.3 | 08 | 0x | '\u12' | '\N{DIGIT ONE}' | 1if 1else 2
"""

TEMPLATES = [
    "a\n", "a\n\n", "\na", "", "\n", "a\r\nb\rc\r\n", "{# x #}", "a{# x #}\nb", "  {# x #}\nb", "a {#- x -#} b",
    "{{ 1 }}\n{{ 2 }}\n", "  {{ 1 }}  \n", "a {{- 1 -}} b", "a\n\n {{- 1 }}\n b", "{{ 1 -}} \n\n b", "{{+ 1 }}", "{{-1}}",
    "{% if 1 %}\na\n{% endif %}\nb", "  {% if 1 %}  \n  a\n  {% endif %}\n", "x {% if 1 %}\n a{% endif %}\n",
    "  {%+ if 1 %}a{% endif %}", "{% if 1 +%}\na{% endif %}", "\t{%- if 1 -%}\n a \n{%- endif -%}\n b", "{%if 1%}a{%endif%}",
    "a\n  {% if 1 %}{% if 1 %}b{% endif %}{% endif %}\n  c", "{% if 1 %}\n\n{% endif %}\nx", "{% if 1 -%}\n\n  x\n{%- endif %}",
    "{% raw %}{{ a }}{% endraw %}", "{% raw %}\n{{ a }}\n{% endraw %}\nb", "  {% raw %}  x  {% endraw %}  ", "{%- raw -%} a {%- endraw -%} b",
    "{% raw %}{% raw %}{% endraw %}", "{% raw %}", "{% rawx %}", "{%raw%}a{%endraw%}", "{% raw %} {% endraw", "  {%+ raw %} a\n  {% endraw +%}\nb",
    "{#", "{# a", "{% if 1 %}", "{% endif %}", "{{", "{{ 1", "{% if %}{% endif %}", "{%", "{% %}", "{{ }}", "}}", "%}", "#}", "{", "{ {", "{{ '{{' }}",
    "{% if 0 %}a{% elif 1 %}b{% else %}c{% endif %}", "{% if 0 %}a{% elif 0 %}b{% else %}c{% endif %}", "{% if 0 %}{% else %}{% else %}{% endif %}",
    "{% for x in list %}{{ x }}{% endfor %}", "{% for x in [] %}a{% else %}b{% endfor %}", "{% for x in list %}{{ x }}{% else %}b{% endfor %}",
    "{% for x in list if x > 1 %}{{ loop.index }}{{ loop.length }}{{ x }}{% endfor %}", "{% for x in list if x > 9 %}a{% else %}b{% endfor %}",
    "{% for k, v in map.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in map %}{{ k }}{% endfor %}", "{% for c in text %}{{ c }}.{% endfor %}",
    "{% for a, b in [[1, 2], (3, 4)] %}{{ a }}{{ b }}{% endfor %}", "{% for a, b in [[1, 2, 3]] %}{% endfor %}", "{% for (a, b), c in [[[1, 2], 3]] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for x in missing %}a{% else %}b{% endfor %}", "{% for x in nothing %}a{% endfor %}", "{% for x in n %}a{% endfor %}", "{% for x in 1, 2 %}{{ x }}{% endfor %}",
    "{% for x in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }};{% endfor %}",
    "{% for x in list %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}", "{% for x in list %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in list %}{% if loop.previtem is defined %}y{% else %}n{% endif %}{% endfor %}", "{% for x in list %}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}",
    "{% for x in list %}{% for y in list %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}", "{{ loop }}", "{% for x in list %}{% endfor %}{{ loop is defined }}",
    "{% for x in list %}{% set outer = loop %}{% for y in [1, 2] %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}", "{% for x in list %}{{ loop['index'] }}{% endfor %}",
    "{% for x in range(5) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 4 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% break %}", "{% continue %}",
    "{% for x in list %}{% for y in list %}{% break %}{% endfor %}{{ x }}{% endfor %}", "{% for x in [] %}{% else %}{% break %}{% endfor %}", "{% for x in 1 if yes else [] %}{% endfor %}",
    "{% set x = 1 %}{{ x }}", "{% set x = 1 %}{% for y in list %}{% set x = x + y %}{{ x }}{% endfor %}{{ x }}", "{% if 1 %}{% set x = 1 %}{% endif %}{{ x }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a, b = [1] %}", "{% set (a, b) = 'xy' %}{{ a }}{{ b }}", "{% set a = 1, 2 %}{{ a }}", "{% set x %}a {{ n }} b{% endset %}{{ x }}", "{% set x | upper | replace('A', 'b') %}a{% endset %}{{ x }}",
    "{% for i in [1] %}{% set x = 1 %}{% endfor %}{{ x is defined }}", "{% for i in [1, 2] %}{{ x is defined }}{% set x = 1 %}{% endfor %}", "{% set x = 1 %}{% set x %}{% set x = 2 %}{{ x }}{% endset %}{{ x }}",
    "{% set ns = namespace(a=1) %}{% for i in list %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}", "{% set ns = namespace() %}{% set ns.x = 'y' %}{{ ns.x }}{{ ns.z }}{{ ns['x'] }}", "{% set map.a = 1 %}", "{% set missing.a = 1 %}",
    "{% set text = 'x' %}{{ text }}", "{% for text in 'ab' %}{{ text }}{% endfor %}{{ text }}", "{% set true = 1 %}", "{% set 1 = 1 %}", "{% set x.y.z = 1 %}", "{% set %}", "{% set x %}", "{% set range = 1 %}{{ range }}",
    "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=5, a=4) }}{{ m() }}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}",
    "{% macro m(a) -%}\n  {{ a }}\n{%- endmacro %}[{{ m('x') }}]", "{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(3) }}", "{{ m(1) }}{% macro m(a) %}{{ a }}{% endmacro %}", "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(3) }}",
    "{% macro m() %}{{ x }}{% endmacro %}{% set x = 1 %}{{ m() }}{% set x = 2 %}{{ m() }}", "{% set x = 1 %}{% macro m() %}{% set x = 2 %}{{ x }}{% endmacro %}{{ m() }}{{ x }}", "{% macro m() %}{{ text }}{% endmacro %}{{ m() }}", "{% macro m() %}a{% endmacro %}{{ m() ~ 'b' }}{{ m() | upper }}{{ m()|length }}",
    "{% for i in list %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}", "{% macro a() %}x{% endmacro %}{% macro b() %}{{ a() }}y{% endmacro %}{{ b() }}", "{% macro m(x) %}{{ x is defined }}{% endmacro %}{{ m() }}", "{% macro m(x=none) %}{{ x is none }}{% endmacro %}{{ m() }}{{ m(missing) }}",
    "{% macro m(x='d') %}{{ x }}{% endmacro %}{{ m(missing) }}|{{ m(none) }}", "{% macro m() %}{% for i in list %}{% if i == 1 %}{% break %}{% endif %}{{ i }}{% endfor %}{% endmacro %}{{ m() }}", "{% for i in list %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
    "{% macro m(a=1, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(2, 3) }}", "{% macro m %}{% endmacro %}", "{% macro m(1) %}{% endmacro %}",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}x{{ n }}{% endcall %}", "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}+{{ b }}{% endcall %}", "{% macro m(a) %}{{ a }}{{ caller() }}{% endmacro %}{% for i in list %}{% call m(i) %}({{ i }}){% endcall %}{% endfor %}", "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}", "{% call 1 %}{% endcall %}",
    "{% with %}{% set x = 1 %}{{ x }}{% endwith %}{{ x }}", "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}", "{% filter upper %}a{{ text }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}aa{% endfilter %}",
    "{% filter upper %}{% set x = 1 %}{% endfilter %}{{ x is defined }}", "{% filter nofilter %}{% endfilter %}", "{% if 0 %}{{ text.nomethod() }}{{ nofunction() }}{{ missing.a.b }}{% endif %}ok", "{% nostatement %}", "{% endfor %}", "{% else %}", "{% for %}{% endfor %}", "{% for x list %}{% endfor %}", "{% for x in %}{% endfor %}", "{% for 1 in list %}{% endfor %}",
    "{{ [1, 2] | map('string') | join('-') }}{{ 'x' if 'a' is in ['a'] }}", "{{ text[:5] ~ list[0] }}", "{{ people | map(attribute='name') | map('lower') | sort | join(' ') }}", "{{ ('a' 'b')[1] }}", "{{ {'a': [1, {'b': 'c'}]}['a'][1].b }}", "{{ 'a' if no else 'b' ~ 'c' }}", "{{ 1 if 1 else 2 | string }}", "{{ not n is string }}",
    "{{\n  text\n  | upper\n}}", "{% if n == 7\n and text %}\ny\n{% endif %}", "{{ {\n'a': 1\n} }}", "{{ {'a': {'b': 1}}}}", "{{ '\n' }}|", "{{ 'a\r\nb' | length }}", "{{ \"a\" ~ 'b' }}", "\u00e9{{ '\u00e9' }}\u2028", "{{ \u00e9 }}", "{% set \u00e9 = 1 %}{{ \u00e9 }}",
]


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    return made


def main():
    sources = [f"{{{{ {one.strip()} }}}}" for line in EXPRESSIONS.strip().split("\n") for one in split(line)]
    cases = []
    for source in sources + TEMPLATES:
        try:
            case = {"expected": environment().from_string(source).render(**VARIABLES)}
        except Exception as error:  # A template can fail in as many ways as Python can.
            case = {"error": type(error).__name__}
        if " at 0x" not in case.get("expected", ""):
            cases.append({"source": source} | case)
    text = '{\n  "variables": ' + json.dumps(VARIABLES) + ',\n  "cases": [\n    '
    text += ",\n    ".join(json.dumps(case) for case in cases) + "\n  ]\n}\n"
    (HERE / "expressions.json").write_text(text)
    print(f"{len(cases)} cases, {sum('error' in case for case in cases)} of them errors")


def split(line):
    """Expressions are parted by ` | `, which filters in them are written without."""
    return line.split(" | ")


if __name__ == "__main__":
    main()
