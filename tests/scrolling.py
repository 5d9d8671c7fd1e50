"""Scrolls a table and watches it: how long frames take, and whether rows are missing in any."""

from __future__ import annotations

from typing import Any

SCROLL = """
place => new Promise(done => {
  const scroll = document.querySelector(`${place} .jp-Shm-tableScroll`);
  const frames = [], wrong = [];
  let last = performance.now();
  const step = () => {
    const now = performance.now();
    frames.push(now - last);
    last = now;
    const top = scroll.getBoundingClientRect().top + 26;
    const bottom = scroll.getBoundingClientRect().bottom;
    const rows = [...scroll.querySelectorAll('.jp-Shm-row')].map(row => row.getBoundingClientRect());
    const covered = rows.some(row => row.top <= top + 1) && rows.some(row => row.bottom >= bottom - 1);
    if (frames.length > 3 && !covered) wrong.push(frames.length);
    if (frames.length === 100) return done({ frames, wrong, rows: rows.length });
    scroll.scrollTop += 173;
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})
"""
"""What a page is to evaluate, with a selector of what the table is in."""


def told(found: dict[str, Any]) -> str:
    """The times of the frames, in words."""
    frames = sorted(found["frames"])
    return f"frames: median {frames[50]:.1f} ms, 95 % under {frames[95]:.1f} ms, longest {frames[-1]:.1f} ms"
