"""Names of persons in Chinese and English text: a surname where a name can stand."""

from __future__ import annotations

import re
from collections.abc import Iterator

import rjieba

_SURNAMES = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜"
    "范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文庞樊兰殷施陶洪翟安颜倪严牛温芦季俞章鲁葛"
    "伍韦申尤毕聂丛焦向柳邢路岳齐梅莫庄辛管祝左涂谷祁舒耿牟卜詹关苗凌费纪靳盛童欧甄项曲游阳裴席卫屈鲍覃霍翁隋植甘景"
    "薄包司柏宁柯阮桂闵柴华车冉房闫肖佘邬"
)
_COMPOUND = "欧阳|上官|司马|诸葛|皇甫|尉迟|公孙|慕容|司徒|夏侯|东方|端木|令狐|宇文|长孙|独孤|南宫"
_SURNAME = rf"(?:{_COMPOUND}|[{_SURNAMES}])"
_FULL = rf"{_SURNAME}[\u4e00-\u9fff]{{1,2}}"
_END = r"(?=$|[\s,，。.!！?？;；、:：()（）/…〔]|[的您你和跟与为给吗呢吧啊])"

_COURTESY = re.compile(rf"(?P<name>[小老阿]?{_SURNAME}[\u4e00-\u9fff]{{0,2}}?)(?=先生|女士|小姐|太太|夫人|阿姨|叔叔)")
_LABELLED = re.compile(
    rf"(?:姓名|收件人|收货人|联系人|寄件人|户名|持卡人|署名|我叫|名字叫|名字是|名叫)\s*(?:是|为|叫|:|：)?\s*(?P<name>{_FULL}){_END}"
)
_ENGLISH = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Miss|Dr)\b\.?|\b[Mm]y name(?: is|'s)|\b[Nn]ame\s*:)\s+"
    r"(?P<name>[A-Z][a-z]+(?:[ -][A-Z][a-z]+){0,2})"
)
_CERTAIN = (_LABELLED, _ENGLISH)

_WORK = re.compile(
    rf"(?P<name>[小老阿]?{_SURNAME}[\u4e00-\u9fff]{{0,2}}?)(?=老师|师傅|师父|经理|主任|医生|老板|店长|主管|总监|同学|大哥|大姐|总(?![\u4e00-\u9fff]))"
)
_SPOKEN_OF = re.compile(
    rf"(?:我是|这是|这里是|客服|快递员|快递小哥|业务员|顾问|同事|店员|导购|骑手|司机|专员|联系|找)(?P<name>[小老阿]{_SURNAME}|{_FULL}){_END}"
)
_LIKELY = (_COURTESY, _WORK, _SPOKEN_OF)
"""What stands here may be a word as well (任何女士, 安装师傅, 联系方式): only what no dictionary knows is a name."""

_NO_NAMES = frozenset(
    {"江浙沪", "任天堂", "何首乌", "金龙鱼", "白天鹅", "万事达", "金银花", "安全性", "常温奶", "高清版", "马卡龙"}
)
"""Words of shops that are taken for names."""

_STANDS_ALONE = 3
"""Characters of a name that is recognised without anything around it."""


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Yield where names of persons begin and end."""
    for pattern in _CERTAIN:
        yield from (match.span("name") for match in pattern.finditer(text))
    words = list(_words(text))
    inside = {place for start, word, _ in words for place in range(start + 1, start + len(word))}
    for pattern in _LIKELY:
        for match in pattern.finditer(text):
            # 水管师傅: what looks like a surname is the end of a word.
            if match.start("name") not in inside and not _is_word(match["name"]):
                yield match.span("name")
    for start, word, tag in words:
        if tag.startswith("nr") and len(word) == _STANDS_ALONE and word not in _NO_NAMES and re.match(_SURNAME, word):
            yield start, start + len(word)


def _words(text: str) -> Iterator[tuple[int, str, str]]:
    place = 0
    for word, tag in rjieba.tag(text):
        place = text.index(word, place)
        yield place, word, tag
        place += len(word)


def _is_word(name: str) -> bool:
    """Whether a dictionary knows it as something else than a name."""
    first, tag = rjieba.tag(name)[0]
    return len(first) > 1 and not tag.startswith("nr")
