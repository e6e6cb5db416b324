"""Which of several things refer to one another in a ring."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def rings(edges: Mapping[str, Collection[str]]) -> dict[str, int]:
    """Return those that are in a ring, with a number that those which reach one another have in common; also what refers to itself.

    Tarjan's strongly connected components, without recursion: a chain may be as long as it likes.
    """
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_nodes: list[str] = []
    is_open: set[str] = set()
    found: dict[str, int] = {}
    for root in edges:
        if root in index:
            continue
        index[root] = lowest[root] = len(index)
        open_nodes.append(root)
        is_open.add(root)
        work = [(root, iter(edges[root]))]
        while work:
            node, rest = work[-1]
            following = next(rest, None)
            if following is None:
                work.pop()
                if work:
                    above = work[-1][0]
                    lowest[above] = min(lowest[above], lowest[node])
                if lowest[node] == index[node]:
                    _close(node, edges, open_nodes, is_open, found, index[node])
            elif following in is_open:
                lowest[node] = min(lowest[node], index[following])
            elif following not in index:
                index[following] = lowest[following] = len(index)
                open_nodes.append(following)
                is_open.add(following)
                work.append((following, iter(edges.get(following, ()))))
    return found


def _close(  # noqa: PLR0913, PLR0917 - the state of the algorithm
    node: str, edges: Mapping[str, Collection[str]], open_nodes: list[str], is_open: set[str], found: dict[str, int], number: int
) -> None:
    members: list[str] = []
    while not members or members[-1] != node:
        members.append(open_nodes.pop())
        is_open.discard(members[-1])
    if len(members) > 1 or node in edges.get(node, ()):
        found.update(dict.fromkeys(members, number))
