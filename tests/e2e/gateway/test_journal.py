"""The journal on a real volume: entries are whole or absent, in order, and outlive their gateway."""

from __future__ import annotations

from gitops_ml.clients.gateway.journal import Journal
from gitops_ml.clients.gateway.layout import ROOT
from tests.e2e.place import Place, place_fixture

place = place_fixture


def _entries(place: Place) -> list[bytes]:
    return list(place.look().journal.values())


def test_entries_keep_their_order_across_gateways_and_writers(place: Place) -> None:
    first = place.ensure_gateway()
    Journal(place.engine, first, ()).append([b'{"n":1}', b'{"n":2}'])
    place.engine.remove(first, force=True)
    second = place.ensure_gateway()
    journal = Journal(place.engine, second, place.look().journal)
    journal.append([b'{"n":3}'])
    journal.append([b'{"n":4}'])
    assert _entries(place) == [b'{"n":1}', b'{"n":2}', b'{"n":3}', b'{"n":4}']


def test_an_entry_that_was_cut_off_is_ignored(place: Place) -> None:
    gateway = place.ensure_gateway()
    (name,) = Journal(place.engine, gateway, ()).append([b'{"n":1}'])
    place.engine.put(gateway, f"{ROOT}/journal", {name.replace("1-", "2-", 1): b'{"n"', "note.txt": b"mine"})
    assert _entries(place) == [b'{"n":1}']


def test_compacting_keeps_the_summary_and_the_newer_entries(place: Place) -> None:
    gateway = place.ensure_gateway()
    journal = Journal(place.engine, gateway, ())
    names = journal.append([f'{{"n":{n}}}'.encode() for n in range(600)])
    journal.compact(names[:-1], [b'{"sum":true}'])
    assert _entries(place) == [b'{"n":599}', b'{"sum":true}']
    journal.append([b'{"n":600}'])
    assert _entries(place)[-1] == b'{"n":600}'
