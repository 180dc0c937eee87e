"""Renders templates/*.jinja, and snippets, with Jinja2 as transformers does,
into golden.json.

The templates were written for these tests. Some write turns with the marks of a
well-known family, in a way of their own: none is the published template of a
model.

Needs Python with jinja2 3.1. Run in this folder: python3 golden.py
"""
import datetime
import glob
import itertools
import json
import os

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

NOW = datetime.datetime(2025, 3, 9, 14, 5, 6)


class Generation(jinja2.ext.Extension):
    """The tag {% generation %}, which marks what the assistant wrote."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


env = jinja2.sandbox.ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
)
env.filters["tojson"] = tojson
env.globals["raise_exception"] = raise_exception
env.globals["strftime_now"] = lambda f: NOW.strftime(f)

user = {"role": "user", "content": "Hi there"}
CONVERSATIONS = {
    "one": [user],
    "system": [{"role": "system", "content": "Be kind."}, user],
    "turns": [
        {"role": "system", "content": "  Be brief. \n"},
        {"role": "user", "content": " How are you?\n"},
        {"role": "assistant", "content": "Fine, thanks.\nAnd you? "},
        {"role": "user", "content": "<|im_end|> é 😀 </s>"},
    ],
    "nosystem": [
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": "<think>\nEasy.\n</think>\n\n2"},
        {"role": "user", "content": "And 2 + 2?"},
    ],
    "answered": [user, {"role": "assistant", "content": "<think>hm</think>Hello!"}],
    "empty": [{"role": "system", "content": ""}, {"role": "user", "content": ""}],
    "twice": [user, user],
}

# What is easily got wrong, each a template of its own.
SNIPPETS = [
    # White space around tags.
    "  {% if true %}\n  a\n  {% endif %}\n b", "a {%- if true %} b {% endif -%} c", "a\n  {{ 'x' }}\n  b", "{{ 'x' -}}\n  b", "a\n  {#- c -#}\n  b",
    "a\n  {# c #}\nb", "a {%+ if true %}b{% endif +%}\nc", "\n\n{% set x = 1 %}\n\n", "x {% raw -%}  {{ a }}  {%- endraw %} y", "  {% raw %}\n{% a %}\n  {% endraw %}\nb",
    "a\r\nb\rc\n", "{% if true -%}\n\n  x\n\n{%- endif %}", "{{- 'a' }}  {{ 'b' -}}  c", "\t{% if true %}x{% endif %}", "x\t{% if true %}y{% endif %}\n\n", "{% if true %}{% endif %}\n{% if true %}{% endif %}\n", "{#-#}a", "a{#}#}b",
    # Scopes.
    "{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}", "{% for i in [1, 2] %}{% if loop.first %}{% set y = 5 %}{% endif %}[{{ y }}]{% endfor %}",
    "{% macro f() %}{{ z }}{% endmacro %}{% set z = 3 %}{{ f() }}", "{% macro f(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(1, b=3) }}{{ f() }}", "{% macro f() %}[{{ caller() }}]{% endmacro %}{% call f() %}x{% endcall %}",
    "{% set ns = namespace(a=1) %}{% for i in range(3) %}{% set ns.a = ns.a * 2 %}{% endfor %}{{ ns.a }}", "{% with a=1, b=2 %}{{ a + b }}{% endwith %}{{ a }}", "{% set x %}a{{ 1 }}{% endset %}{{ x | upper }}", "{% set x | upper %}a{% endset %}{{ x }}",
    "{% for a, b in [(1, 2), (3, 4)] %}{{ a }}{{ b }}{% endfor %}", "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for x in [1, [2, [3]]] recursive %}{% if x is iterable %}<{{ loop(x) }}>{% else %}{{ x }}{% endif %}{% endfor %}",
    "{% for i in [1, 2, 3, 4] if i is even %}{{ loop.index }}/{{ loop.length }}:{{ i }} {% endfor %}", "{% for i in [1, 1, 2] %}{% if loop.changed(i) %}{{ i }}{% endif %}{% endfor %}", "{% for i in [1, 2, 3] %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{{ loop.nextitem }}{% endfor %}",
    "{% for x in 'é1' %}{{ x }},{% endfor %}{% for x in {'a': 1} %}{{ x }}{% endfor %}{% for x in nothing %}x{% else %}none{% endfor %}",
    # Operators and their order.
    "{{ 1 + 2 * 3 ** 2 }} {{ -2 ** 2 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }} {{ 10 - 3 - 2 }} {{ 1 ~ 2 * 3 }} {{ 'a' ~ 1 == 'a1' }} {{ not true == false }} {{ not none }}", "{{ 1 if false }}|{{ 1 if false else 2 if false else 3 }}|{{ (1 if true else 2) + 1 }}",
    "{{ 'a' + 'b' | upper }} {{ ('a' + 'b') | upper }} {{ -1 | abs }} {{ 5 | string + 'x' }} {{ 3 in [1, 2] or 2 in [1, 2] }} {{ 1 in {1: 2} }} {{ 'a' not in 'bc' and true }}", "{{ true and 5 }} {{ none or [] or 'x' }} {{ 1 == 1.0 }} {{ true == 1 }} {{ '1' == 1 }} {{ [1, 2] == [1, 2] }} {{ (1,) == [1] }} {{ {'a': 1} == {'a': 1.0} }} {{ none == false }} {{ nothing == nothing2 }}",
    "{{ 1 < 2 <= 2 < 3 > 1 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 1 / 3 }} {{ 1e3 }} {{ 1e16 }} {{ 1e-5 }} {{ 0.1 + 0.2 }} {{ 123456789.125 }} {{ 1_000 }} {{ 0x1f }}", "{{ 'abc'[1:] }} {{ 'abc'[:-1] }} {{ 'abc'[::2] }} {{ 'abc'[5:] }} {{ [1, 2, 3][-5:2] }} {{ [1, 2, 3][::-1] }} {{ [1, 2, 3][2:0:-1] }} {{ 'abc'[-1] }} {{ (1, 2)[1:] }} {{ [1, 2][5] is defined }} {{ 'abc'[9] is undefined }}",
    # Undefined and none.
    "[{{ nothing }}] [{{ none }}] [{{ nothing ~ 'x' }}] {{ nothing is defined }} {{ none is defined }} {{ nothing | length }} {{ nothing | list }} {{ nothing | join }} {{ nothing | default('d') | upper }} {{ messages[0].nope is defined }} {{ messages[0]['nope'] | default('?') }} {{ 'x' in nothing }}",
    # What no conversation comes to need not be there.
    "{% if tools %}{{ tools | nosuch(1) }}{{ 1 is nosuch }}{{ nosuch() }}{% endif %}x", "{{ {'a': 1}[1:] is defined }} {{ 2.5 is even }} {{ true | round }} {{ 'a' % [] }} {{ 'a' | list[0] }}", "{{ {'a': 1}[1:] is defined }} {{ 2.5 is even }} {{ true | round }} {{ 'a' % [] }}",
    # What needs care in tests.
    "{{ 1 is integer }} {{ true is integer }} {{ 1.0 is float }} {{ 'a' is iterable }} {{ 1 is iterable }} {{ {} is mapping }} {{ {} is sequence }} {{ none is string }} {{ 'x' is eq 'x' }} {{ 3 is gt 2 and 2 is lt 3 }} {{ 'a' is in('abc') }} {{ 2 is not odd }} {{ namespace is callable }} {{ 'abc' is lower }} {{ 4 is divisibleby(2) }}",
    # Strings.
    "{{ 'a\\n\\'b\\x41\\u00e9\\q' }} {{ \"it's\" }} {{ ['it\\'s', \"q\\\"\", 'a\\\\b', '\\t\\x07é\\u200b'] }}", "{{ 'a,b,,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ ' a  b '.split() }} {{ ' a  b c '.split(none, 1) }} {{ 'a b c'.rsplit(' ', 1) }} {{ ' a b  c '.rsplit(none, 1) }} {{ ''.split(',') }} {{ ''.split() }} {{ 'a\\nb\\n'.splitlines() }}",
    "{{ 'xxaxx'.strip('x') }} {{ 'abc'.lstrip('ba') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'ab'.replace('', '-') }} {{ 'abcabc'.find('c') }} {{ 'abcabc'.rfind('c') }} {{ 'é'.find('z') }} {{ 'aéa'.find('a') }} {{ 'aXb'.swapcase() }} {{ 'hello world'.title() }} {{ \"they're\".title() }} {{ \"they're here-now\" | title }} {{ 'hELLO'.capitalize() }}",
    "{{ 'a'.center(5, '*') }} {{ 'ab'.center(5, '*') }} {{ 'a'.ljust(3) }}| {{ 'a'.rjust(3) }} {{ '7'.zfill(3) }} {{ '-7'.zfill(4) }} {{ 'abc'.partition('b') }} {{ 'abc'.partition('x') }} {{ 'abcb'.rpartition('b') }} {{ 'abc'.rpartition('x') }} {{ 'a-b'.removeprefix('a-') }} {{ 'aXa'.count('a') }} {{ '12'.isdigit() }} {{ ''.isalpha() }} {{ 'a b'.isspace() }} {{ 'ß'.upper() }} {{ 'İ'.lower() | length }}",
    "{{ '{} {}'.format(1, 'a') }} {{ '{1}{0}{{}}'.format('a', 'b') }} {{ '{x}'.format(x=3) }} {{ '%s %5s|%-5s|%05d %.2f %%' | format('a', 'b', 'c', 42, 3.14159) }} {{ '%d' % 3 }} {{ '%s-%s' % (1, 2) }}",
    # Filters.
    "{{ [3, 1, 2] | sort(reverse=true) }} {{ ['b', 'A', 'c'] | sort }} {{ ['b', 'A'] | sort(case_sensitive=true) }} {{ [{'a': 2}, {'a': 1}] | sort(attribute='a') }} {{ {'b': 1, 'A': 2} | dictsort }} {{ ['a', 'A', 'b'] | unique | list }} {{ [1, 2, 3] | max }} {{ ['b', 'a'] | min }} {{ [] | first is defined }} {{ [[1, 2], [3]] | map('length') | list }} {{ [[1, 2], [3]] | sum(start=[]) }}",
    "{{ [1, 2, 3] | batch(2) | list }} {{ [1, 2, 3] | batch(2, 0) | list }} {{ 'a b c' | wordcount }} {{ 'abc' | reverse }} {{ '<a&\\'\">' | escape }} {{ 'a\\n\\nb' | indent }} {{ 'a\\nb' | indent(2, first=true) }} {{ 'a\\n\\nb' | indent('> ', blank=true) }} {{ 'x' * 3 | int }} {{ ' 12 ' | int }} {{ '1f' | int(base=16) }} {{ '2.9' | int }} {{ 'a' | float(1.5) }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.55 | round(1, 'floor') }} {{ 1.25 | round(1) }} {{ 42 | round }} {{ true | int }} {{ 1 | float }}",
    "{{ messages | map(attribute='role') | join(', ') }} {{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ messages | rejectattr('role', 'eq', 'user') | map(attribute='role') | list }} {{ messages | selectattr('role') | list | length }} {{ [0, 1, '', 'a', none] | select | list }} {{ [0, 1] | reject | list }} {{ [1, 2, 3] | select('gt', 1) | list }} {{ ['a'] | map('replace', 'a', 'b') | list }} {{ [{'a': {'b': 1}}] | map(attribute='a.b') | list }} {{ [[1, 2]] | map(attribute=1) | list }} {{ [{}] | map(attribute='a', default='d') | list }}",
    "{{ {'a': [1, 2.5, true, none, 'é\\n\"\\u2028<>&']} | tojson }} {{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }} {{ [] | tojson(indent=2) }} {{ {'a': {}} | tojson(indent=1) }} {{ 'é😀' | tojson(ensure_ascii=true) }} {{ [1, 2] | tojson(separators=(',', ':')) }} {{ {1: 2, none: 3, true: 4} | tojson }} {{ 1e20 | tojson }}",
    "{{ {'a': 1, 'b': 2}.items() | list }} {{ {'a': 1}.keys() | list }} {{ {'a': 1}.values() | list }} {{ {'a': 1}.get('a') }} {{ {'a': 1}.get('z') }} {{ {'a': 1}.get('z', 5) }} {{ {'items': 3}['items'] }} {{ {'a': 1, 'a': 2} }} {{ {1: 'x', true: 'y'} }} {{ dict({'a': 1}, b=2) }} {{ dict(a=1).a }} {{ {(1, 2): 3}[(1, 2)] }} {{ [1, 2, 1].count(1) }} {{ ['a', 'b'].index('b') }}",
    "{{ [] }} {{ () }} {{ (1,) }} {{ {} }} {{ [none, true, 1.0, 'a'] }} {{ [1, 2,] }} {{ {'a': 1,} }} {{ 1, 2 }} {{ range(3) | list }} {{ range(2, 5) | list }} {{ range(5, 0, -2) | list }} {{ [1] * 2 }} {{ (1, 2) + (3,) }} {{ 'x' if 'a' in 'abc' else 'y' }} {{ joiner('-')() }}",
    "{% set j = joiner('-') %}{% for i in [1, 2] %}{{ j() }}{{ i }}{% endfor %}{% set a, b = 'xy' %}{{ b }}{% set a = b = 1 %}", "{% set (a, b) = (1, 2) %}{{ a }}{{ b }}",
    "{% if messages and not tools %}x{% elif tools %}y{% else %}z{% endif %}{% if messages[0]['role'] in ['user', 'x'] and 'tool_calls' not in messages[0] %}u{% endif %}{{ messages[-1].content[:5] }}{{ messages[1:] | length }}{{ messages | last | attr('role') is defined }}",
    # What chat templates do.
    "{% macro m(fields, tag='required') %}{% for k in fields.keys() %}{{ k }}{{ ', ' if not loop.last }}{% endfor %}{{ tag }}{% endmacro %}{{ m({'a': 1, 'b': 2}) }}",
    "{% for i in range(3) %}{% for j in range(3) %}{% if j == 1 %}{% continue %}{% endif %}{% if i == 1 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}",
    "{{ strftime_now('%Y-%m-%d') }} {{ strftime_now('%d %B %Y, %H:%M:%S') }} {{ strftime_now is defined }}", "{{ raise_exception('no ' ~ messages[0].role) }}", "{% if false %}{{ raise_exception('x') }}{% endif %}y",
    "{%- generation -%} x {%- endgeneration -%} y", "a\n{% generation %}\n{% for m in messages %}{{ m.role }}{% endfor %}\n{% endgeneration %}\nb",
    "{% set ns = namespace(a=[]) %}{% for x in [1, 2] %}{% set ns.a = ns.a + [x] %}{% endfor %}{{ ns.a | tojson }}{{ ns.b is defined }}", "{{ messages | tojson(indent=2) }}{{ messages[0] }}{{ messages[0].items() | list }}",
    "{{ enable_thinking is defined and enable_thinking is false }}{{ '</script>' | tojson }}{{ messages[0].content is string and messages[0].content is not mapping }}",
    "{{ 1 / 0 }}", "{{ 'a' + 1 }}", "{{ none.x.y }}", "{{ nothing.x }}", "{{ [].append(1) }}", "{{ 'a' | nosuch }}", "{{ 1 is nosuch }}", "{% nosuch %}", "{{ f( }}", "{{ [1, 2 }}", "{% for %}", "{{ 'a'.nosuch() }}", "{{ nothing() }}", "{{ 'a' < 1 }}", "{% if %}x{% endif %}", "{{ {[]: 1} }}",
]

out = []
for source in SNIPPETS:
    row = {"template": source, "conversation": "snippet", "messages": [user], "add_generation_prompt": True}
    try:
        row["text"] = env.from_string(source).render(messages=[user], tools=None, bos_token="<s>", eos_token="</s>", add_generation_prompt=True, enable_thinking=False)
    except Exception as e:
        row["error"] = type(e).__name__
    out.append(row)
for path in sorted(glob.glob("templates/*.jinja")):
    name = os.path.basename(path)[: -len(".jinja")]
    with open(path, newline="") as f:
        template = env.from_string(f.read())
    for conversation, messages in CONVERSATIONS.items():
        for prompt, thinking in itertools.product((True, False), (False, True) if name == "thinking" else (False,)):
            row = {"template": name, "conversation": conversation, "messages": messages, "add_generation_prompt": prompt}
            if thinking:
                row["enable_thinking"] = True
            try:
                row["text"] = template.render(
                    messages=messages, tools=None, documents=None, add_generation_prompt=prompt,
                    bos_token="<s>", eos_token="</s>", enable_thinking=thinking,
                )
            except jinja2.exceptions.TemplateError as e:
                row["error"] = str(e)
            out.append(row)
with open("golden.json", "w") as f:
    json.dump(out, f, ensure_ascii=False, indent=1)
    f.write("\n")
