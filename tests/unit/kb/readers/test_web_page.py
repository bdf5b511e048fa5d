"""HTML to entries and passages."""

from __future__ import annotations

from typing import Any

import pytest

from kb.errors import DocumentError
from kb.readers.web_page import html_sections


def lines(html: str) -> list[str]:
    """The text of a page without headings."""
    (section,) = html_sections(html, "a.html")
    return section.lines


def test_the_main_part_is_read_without_menus_and_scripts(read: Any, entries: Any) -> None:
    page = """<!doctype html><html><head><title>帮助中心</title><style>p{}</style><script>var x = 1;</script></head>
    <body><nav><a href="/">首页</a></nav><div role="navigation">目录</div><main><!-- 注释 --><h2>如何退款？</h2>
    <p>打开<a href="https://a.example/o">订单页</a>，再点
       退款。<br>第二行&nbsp;&amp; more</p>
    <ul><li>第一步<ol start="3"><li>甲<li>乙</ol></li><li><b>第二步</b></ul></main><footer>版权</footer>
    </body></html>"""
    found = read("a.html", page.encode())
    answer = "打开订单页(https://a.example/o)，再点退款。\n第二行 & more\n\n• 第一步\n  3. 甲\n  4. 乙\n• 第二步"
    assert entries(found.chunks) == [("如何退款？", answer)]
    assert found.chunks[0].headings == ("帮助中心",)


def test_accordions_definitions_and_bold_questions_are_entries(read: Any, entries: Any) -> None:
    page = """<h1>常见问题</h1><details><summary>几点开门？</summary><p>九点。</details><p>以上仅供参考。</p>
    <dl><dt>能开发票吗</dt><dd>能。</dd></dl><p><strong>在哪里？</strong></p><p>北京。</p>
    <ul><li><h3>怎么付款？</h3><div>微信。</div></li></ul>"""
    assert entries(read("a.htm", page.encode()).chunks) == [
        ("几点开门？", "九点。"),
        ("", "以上仅供参考。"),
        ("能开发票吗", "能。"),
        ("在哪里？", "北京。"),
        ("怎么付款？", "微信。"),
    ]


def test_tables_are_items_and_tables_for_layout_are_walked() -> None:
    assert lines("<table><tr><th>地区<th>运费<tr><td>北京<td>8 元<tr><td>上海</table>") == [
        "• 地区：北京；运费：8 元",
        "• 地区：上海",
    ]
    assert lines("<table><tr><td>一<br>行<td>两格</table>") == ["一；行 两格"]
    assert lines("<table></table>") == []
    (_, section) = html_sections("<table><tr><td><h2>标题</h2>文字</td></tr></table>", "a.html")
    assert (section.heading, section.lines) == ("标题", ["文字"])


def test_lists_below_lists_and_boxes_that_ask_nothing_stay_text() -> None:
    assert lines("<ol><li>一<li>二</ol><ul><li>外<ul><li>内</ul></li><ul><li>旁</ul></ul>") == [
        "1. 一",
        "2. 二",
        "",
        "• 外",
        "  • 内",
        "  • 旁",
    ]
    assert lines("<details><summary>更多</summary>文字</details>") == ["更多", "", "文字"]
    assert lines("<p>前</p><a href='https://a.example'><div>整块</div></a>") == ["前", "", "整块"]


def test_addresses_are_kept_only_when_a_customer_can_open_them() -> None:
    page = """<p><a href="/x">相对</a> <a href="javascript:x()">脚本</a> <a href="https://a.example">https://a.example</a>
    <img src="https://a.example/x.png" alt="图"><img src="data:,x" alt="小图"><a href="#footnote-1">[1]</a></p>"""
    assert lines(page) == ["相对 脚本 https://a.example 图(https://a.example/x.png)小图"]


def test_prepared_text_keeps_its_lines() -> None:
    assert lines("<pre>\n一\n  二\n</pre>") == ["一", "  二"]


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        ('<meta charset="gb2312">', "gb18030"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=big5">', "big5"),
        ('<?xml version="1.0" encoding="GBK"?>', "gb18030"),
        ('<meta charset="gb2312">', "utf-8-sig"),
        ('<meta charset="utf-8">', "gb18030"),
        ('<meta charset="utf-8">', "utf-16"),
        ('<meta charset="no-such-charset">', "utf-8"),
        ("", "gb18030"),
    ],
)
def test_a_page_is_decoded_as_it_declares_or_as_it_is(read: Any, entries: Any, declared: str, encoding: str) -> None:
    page = f"{declared}<h2>營業時間?</h2><p>早上九點。</p>"
    assert entries(read("a.html", page.encode(encoding)).chunks) == [("營業時間?", "早上九點。")]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"<meta charset=utf-8>\x00\x01\xff", "not a text file"),
        (b"<html><body><script>x</script></body></html>", "no entry found"),
        (b"<frameset><frame src='x'></frameset>", "no entry found"),
        (b"<b>" * 5000 + b"x", "nested too deeply"),
        (b"\n", "no entry found"),
    ],
)
def test_what_is_no_page_says_why(read: Any, data: bytes, told: str) -> None:
    with pytest.raises(DocumentError, match=told):
        read("a.html", data)
