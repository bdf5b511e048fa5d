"""Words an answer may use only where its sources do, and sources that give orders instead of telling something."""

from __future__ import annotations

import re

PROMISES = tuple(
    re.compile(words)
    for words in (
        (
            r"免费|不收费|不收取|无需付费|不用付|免运费|免邮|包邮|(?<!feel )\bfree\b|no (?:extra )?(?:charge|cost)"
            r"|無料|무료|бесплатн|\bgratis\b|\bgratuit|\bkostenlos|ฟรี"
        ),
        r"全免|免单|\bfree of\b",
        r"免税|\btax[- ]free\b",
        r"免息|\binterest[- ]free\b",
        (
            r"赠(?!品)|[送赠][您你一新]|[再另还白]送|(?:再|额外)[退赔补](?![出充])|免费送(?![货到上达修])|获得|领取"
            r"|\bgifts?\b(?! card)|\bcomplimentary\b|プレゼント|선물|подар"
        ),
        r"终身|永久|终生|永远|\blifetime\b|\bforever\b|평생|навсегда|\bà vie\b|\bde por vida\b|ตลอดชีพ",
        r"保证|包您|承诺|担保|\bguarantee|보장|гарант",
        r"全额|全款|\bfull refund|\bin full\b|\bfully refund",
        r"双倍|翻倍|加倍|十倍|百倍|\b(?:two|three|ten) times\b|\btwice\b|\bdouble\b",
        r"赔|补偿|\bcompensat",
        r"补差|差[价额]|补发|补贴|\bthe difference\b",
        r"优惠|打折|折扣|特价|减免|半价|\bdiscounts?\b|\boff\b|\bcoupons?\b|割引|할인|скидк|\bdescuent",
        r"今天|今日|当天|当日|\btoday\b|\bsame[- ]day\b",
        r"明天|明日|次日|隔天|\btomorrow\b|\bnext[- ]day\b",
        r"立即|立刻|马上|即时|秒[到退回发赔]|\bimmediately\b|\binstantly\b|\bright away\b|\bat once\b",
        r"今晚|\btonight\b",
        r"后天|下周|下个?月|\bnext (?:week|month)\b",
        r"周末|\bweekends?\b",
        r"节假日|假日|春节|国庆|元旦|\bholidays?\b",
        (
            r"随时(?!联系|咨询|告诉|问|找|回复|为您|欢迎)|任何时候|\bwhenever you (?:like|want|wish)|\banytime\b"
            r"|\bany time\b|\b24/7\b"
        ),
        r"无限|不限|无条件|\bunlimited\b|\bunconditional|\bno questions asked\b",
        r"一律|全部|所有|全场|任何(?!问题|疑问|需要|疑虑)|\bevery(?:thing|body|one)?\b(?! (?:day|week|month|year))",
        r"随便|随意|任意|\banything\b|\bwhatever\b",
        r"兑现|兑换",
        (
            r"承担|报销|买单|自理|自付|[由算]我们|我们(?:来|会|都)?(?:付|出(?![具示售库货发]))"
            r"|\bwe(?:'ll| will)? (?:pay|cover|bear)\b|\bon us\b"
        ),
        r"[加搜扫][^，。,.]{0,8}微信(?!支付)|\b(?:add|message|contact)\b[^.]{0,20}\bwechat\b|\bwechat (?:id|account)\b",
        r"支付宝|比特币|\b(?:alipay|paypal|venmo|bitcoin|usdt)\b",
        r"\bqq\b|\b(?:whatsapp|telegram)\b",
        r"扫码|二维码|\bqr code\b",
        r"现金|提现|透支|转账|汇款|定金|押金|收款|\bcash\b(?! on delivery)",
    )
)
"""What binds the shop, or leads away from it."""

MATTERS = tuple(
    re.compile(words)
    for words in (
        (
            r"退(?!出)|返|寄回|\brefund|\breturn|\bmoney back\b|\bpa(?:y|id) (?:you )?back\b|\breimburs"
            r"|返金|환불|возвр|reembols|rembours"
        ),
        r"运费|邮|\bpostage\b|\b(?:shipping|delivery) (?:fee|cost|charge)",
        r"换|补[发寄]|\bexchang|\breplace|\bswap",
        r"保修|质保|过保|\bwarrant",
        r"发票|开票|专票|\binvoice",
    )
)
"""What is spoken of, for an answer in another language than its sources: its wording cannot be compared."""

_DEEDS = "同意|核实|安排|受理|登记|开通|办理|批准|更新|通过|取消|删除|添加|导入|上线|结束|关闭|接手|发起|提交|处理|申请"

INSIDE = tuple(
    re.compile(words)
    for words in (
        r"规则|指令|提示词|围栏|知识库|条目|资料|\b(?:prompts?|instructions?|rules?)\b",
        r"工单|草稿|接手|接待|\btickets?\b",
        r"管理员|老板|店长|员工|授权|批准|审计|\b(?:admin\w*|owner|boss|authenticated|authori[sz]ed)\b",
        r"批准|审[核批]|核实|\bapproved?\b",
        r"我是|我叫|不受限制|自由的|作为(?:一[个名])?ai|\b(?:i am (?!sorry|afraid)|my name|unrestricted|as an ai)\b",
        r"已经?(?:[为帮给替][您你])?(?:直接)?(?:[改退赔免补]|" + _DEEDS + ")",
        r"处理完毕|办理成功|操作成功",
        r"(?:我(?!们)|这边|这就|正在)[就会来先也再]{0,2}[为帮给替][您你]|(?:这就|现在就)[退赔改办取补发换免]",
        r"\bi(?:'ve| have| already| just|'ll| will){1,2} (?:\w+ed|refund|cancel|change|update|process)\b",
        (
            r"\bi (?:was|have been) (?:told|asked|instructed|given|set|configured)\b|\bi must\b"
            r"|\bmy (?:task|job|role|system|guidelines?)\b|\bguidelines?\b|\bsystem message\b|\bjson\b"
            r"|プロンプト|指示(?=[はをにがの])"
        ),
        r"顾客有|客户有|[说讲]可以|老板说",
    )
)
"""What is the bot's and the desk's own, and deeds: a bot has done nothing."""

_MARKUP = re.compile(
    r"</?[a-z][^>]*>|\]\(|```|[{}]|[<>&]{2,}|\b(?!https?:)[a-z][a-z0-9+.-]{1,15}://\S+|(?<![\w.+-])@\w+|(?<![\w/.:])/[a-z]+"
    r"|\bdot (?:com|cn|net|org|io|co)\b"
    r"|(?:^|[\n。！？.!?,，])\s*(?:系统|管理员|机器人|人工|客服|客户|system|assistant|user|developer)\s*[:：]",
    re.IGNORECASE | re.ASCII,
)
"""Markup, commands, mentions and names of speakers."""

_ORDERS = re.compile(
    r"(?<!不要)(?<!请勿)(?<!不得)(?<!不能)(?<!不可)(?:忽略|无视|忘记|忘掉|抛开|推翻|不[要用]管|不[要用必]理会|不再遵守)[^。！？!?\n]{0,12}(?:规则|指令|提示|要求|设定|内容|限制|规定|约束)"
    r"|(?:系统|管理员)(?:提示|指令|消息)\s{0,3}[:：]|新的?(?:指令|规则|任务)\s*[:：]|提示词"
    r"|(?:无论|不管)(?:顾客|客户|用户|别人|谁)[^。！？!?\n]{0,4}问"
    r"|(?:对|跟|向|和|告诉|转告)(?:所有|每一?[位个]|任何)?(?:顾客|客户|用户|买家|人)们?(?:都|一律|要)?(?:说|讲|[:：])"
    r"|要?对所有人(?:都)?说|回答(?:本条|这条|任何|所有|每个)|(?:必须|一律|只能|都要|今后都|统统)(?:这样)?(?:回答|回复|答复|填写)"
    r"|作为(?:一[个名])?\s{0,3}(?:ai|人工智能|语言模型|智能助手)|你(?:现在)?(?:就是|是)[^。！？!?\n]{0,8}(?:助手|机器人|模型)"
    r"|(?:机器人|模型|助手|ai)请|is_answered|\bcited\b|<\||\[/?inst\]|<</?sys>>"
    r"|\b(?:ignore|disregard|forget)\b.{0,30}\b(?:instructions?|rules?|above|prompts?)\b"
    r"|\bsystem\s{0,3}(?:prompt|message|[:：])"
    r"|\bfrom now on\b|\b(?:answer|reply to|respond to) (?:every|all|each|any)\b"
    r"|\balways (?:say|answer|reply|respond|tell)\b|\btell (?:every|all|each|any)\b"
    r"|\byou (?:are now|must answer|must say|should say)\b",
    re.IGNORECASE,
)


def oversteps(answer: str, source: str, words: tuple[re.Pattern[str], ...]) -> bool:
    """Whether the answer uses words of a kind that the source never does; both in lower case."""
    return any(kind.search(answer) and not kind.search(source) for kind in words)


def has_markup(answer: str, source: str) -> bool:
    """Whether there is markup, a command or a mention in the answer that no source has."""
    return any(found.group().strip() not in source for found in _MARKUP.finditer(answer))


def gives_orders(source: str) -> bool:
    """Whether a text speaks to whoever answers, instead of telling something: nothing may be worded from it."""
    return bool(_ORDERS.search(source))
