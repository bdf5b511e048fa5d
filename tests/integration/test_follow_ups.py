"""Follow-ups without a model: the second question leads to its own entry, with the topic of the first put back in."""

from importlib import resources

from graph.follow_up import in_context, is_follow_up
from kb.bundled import BundledEmbedder
from kb.memory import MemoryRetriever
from kb.readers import read_articles

FOLLOW_UPS = [
    ("如何退款?", "那要多久到账?", "退款多久到账?"),
    ("我想退款", "会退到哪里", "退款会退到哪里?"),
    ("怎么申请退款", "被驳回了怎么办", "退款申请被驳回了怎么办?"),
    ("退款流程是什么", "可以撤销吗", "退款申请可以撤销吗?"),
    ("怎么申请退货?", "地址呢", "退货地址在哪里?"),
    ("我想退货", "那运费谁出", "运费谁承担?"),
    ("怎么申请退货?", "那赠品呢", "赠品需要一起退回吗?"),
    ("我要退货", "没有包装还行吗", "没有原包装还能退货吗?"),
    ("退货后怎么处理", "那发票呢", "退货后发票怎么处理?"),
    ("怎么申请换货?", "可以换别的型号吗", "换货可以换成别的型号吗?"),
    ("怎么查物流?", "一直不更新呢", "物流一直不更新怎么办?"),
    ("物流怎么看", "显示签收但没收到呢", "显示签收但我没收到怎么办?"),
    ("可以指定快递吗?", "偏远地区呢", "偏远地区能送到吗?"),
    ("大件商品怎么送", "送上楼吗", "大件商品送货上楼吗?"),
    ("满多少包邮?", "那分开下单呢", "分开下单能合并运费吗?"),
    ("发票怎么开?", "抬头填错了呢", "发票抬头填错了怎么办?"),
    ("怎么开发票", "有纸质的吗", "有纸质发票吗?"),
    ("我要开发票", "那专票呢", "可以开专票吗?"),
    ("会员等级怎么划分?", "会降级吗", "会员等级会降级吗?"),
    ("会员怎么升级", "有什么权益", "会员有什么权益?"),
    ("积分怎么用?", "会过期吗", "积分会过期吗?"),
    ("怎么获得积分?", "没到账呢", "积分没有到账怎么办?"),
    ("积分怎么用?", "可以转给别人吗", "积分可以转给别人吗?"),
    ("优惠券在哪里领?", "可以叠加吗", "优惠券可以叠加使用吗?"),
    ("优惠券怎么用", "过期了呢", "优惠券过期了能补吗?"),
    ("支持哪些支付方式?", "那货到付款呢", "可以货到付款吗?"),
    ("怎么付款", "可以分期吗", "可以分期付款吗?"),
    ("怎么预约上门安装?", "收费吗", "上门安装收费吗?"),
    ("怎么申请维修?", "那要多久", "维修需要多长时间?"),
    ("保修多久?", "可以延长吗", "可以延长保修吗?"),
]


async def first(shop: MemoryRetriever, query: str) -> str:
    [hit] = await shop.search(query, limit=1)
    return hit.entry_id


async def test_alone_or_with_the_topic_put_back_in_a_follow_up_finds_its_entry() -> None:
    with resources.as_file(resources.files("kb") / "documents" / "sample.md") as sample:
        shop = MemoryRetriever(read_articles([sample]).chunks, BundledEmbedder())
    lost: list[str] = []
    for topic, text, meant in FOLLOW_UPS:
        queries = [text, in_context(text, topic)] if is_follow_up(text) else [text]
        if await first(shop, meant) not in [await first(shop, query) for query in queries]:
            lost.append(text)
    # What is asked by "how long" alone stays with the topic itself.
    assert lost == ["那要多久"]
