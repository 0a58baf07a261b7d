"""The archive beside the books: what a plain HPA would ask for stands with the decision of that instant."""

from past_scenes import decided
from predictscale.bootstrap.archive import Archive
from predictscale.config.settings import ArchiveSettings
from predictscale.control.moneybook import Money, MoneyBook
from predictscale.meters import Meters
from predictscale.sources.archivefile import us
from worlds import CHAT, at


async def test_a_plain_hpas_replicas_are_kept_only_with_the_decision_of_their_instant() -> None:
    book = MoneyBook()
    archive = Archive(ArchiveSettings(), Meters(), book)
    archive.note(decided(0))
    book.put(CHAT, Money(at=at(60), plain_replicas=7))
    archive.note(decided(60))
    archive.note(decided(120))
    await archive.keep(at(120))
    lines = await archive.log.lines(CHAT, since_us=0, until_us=us(at(120)))
    assert [line.plain for line in lines] == [None, 7, None]
    await archive.log.aclose()


async def test_housekeeping_writes_what_waits_and_forgets_what_is_old() -> None:
    meters = Meters()
    archive = Archive(ArchiveSettings(keep_s=100), meters, MoneyBook())
    for second in (0, 60, 120):
        archive.note(decided(second))
    await archive.keep(at(170))
    span = await archive.log.span(CHAT)
    assert span == (at(120), at(120))
    assert meters.registry.get_sample_value("predictscale_archive_decisions_total") == 3
    await archive.log.aclose()
