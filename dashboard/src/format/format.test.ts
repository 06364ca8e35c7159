import { describe, expect, it } from 'vitest';
import { formatAge, formatSpan, parseTime, secondsUntil } from './age';
import { formatCompact, formatHeading, formatNumber, humanize } from './number';

describe('formatNumber', () => {
  it('keeps its decimals, so that widths do not jump', () => {
    expect(formatNumber(40, 1)).toBe('40.0');
    expect(formatNumber(40.04, 1)).toBe('40.0');
  });
  it('groups by narrow spaces and has a real minus', () => {
    expect(formatNumber(1234567)).toBe('1\u202f234\u202f567');
    expect(formatNumber(-3.2, 1)).toBe('\u22123.2');
    expect(formatNumber(-0.04, 1)).toBe('0.0');
  });
  it('shows a dash for what is not known', () => {
    for (const value of [null, undefined, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(formatNumber(value)).toBe('–');
    }
  });
});

describe('formatCompact', () => {
  it('shortens large rates', () => {
    expect(formatCompact(950.4)).toBe('950');
    expect(formatCompact(12_400)).toBe('12.4k');
    expect(formatCompact(999_960)).toBe('1.0M');
    expect(formatCompact(null)).toBe('–');
  });
});

describe('formatHeading', () => {
  it('names the compass point', () => {
    expect(formatHeading(47)).toBe('NE 47°');
    expect(formatHeading(359.8)).toBe('N 0°');
    expect(formatHeading(-90)).toBe('W 270°');
    expect(formatHeading(null)).toBe('–');
  });
});

describe('humanize', () => {
  it('reads the words of the wire', () => {
    expect(humanize('OnScene')).toBe('On scene');
    expect(humanize('partly_cloudy')).toBe('Partly cloudy');
    expect(humanize('')).toBe('–');
  });
});

describe('formatAge', () => {
  const now = Date.UTC(2026, 0, 1, 12);
  it('ticks from seconds to hours', () => {
    expect(formatAge(now - 400, now)).toBe('now');
    expect(formatAge(now - 3_900, now)).toBe('3 s ago');
    expect(formatAge(now - 240_000, now)).toBe('4 min ago');
    expect(formatAge(now - 2 * 3_600_000, now)).toBe('2 h ago');
  });
  it('gives the date of a recording', () => {
    expect(formatAge(Date.UTC(2008, 4, 21, 7, 15), now)).toBe('2008-05-21 07:15 UTC');
  });
  it('says when a clock is ahead, and not for the few seconds clocks always differ', () => {
    expect(formatAge(now + 2_000, now)).toBe('now');
    expect(formatAge(now + 45_000, now)).toBe('clock 45 s ahead');
  });
  it('shows a dash for an unreadable time', () => {
    expect(formatAge(Number.NaN, now)).toBe('–');
  });
});

describe('parseTime', () => {
  it('takes a time without a zone as UTC', () => {
    expect(parseTime('2026-01-01T12:00:00')).toBe(Date.UTC(2026, 0, 1, 12));
    expect(parseTime('2026-01-01T12:00:00Z')).toBe(Date.UTC(2026, 0, 1, 12));
    expect(parseTime('2026-01-01T14:00:00+02:00')).toBe(Date.UTC(2026, 0, 1, 12));
    expect(parseTime(null)).toBeNaN();
  });
});

describe('spans', () => {
  it('use the largest whole unit', () => {
    expect(formatSpan(59_999)).toBe('59 s');
    expect(formatSpan(3 * 86_400_000)).toBe('3 d');
    expect(secondsUntil(3_100, 1_000)).toBe(3);
    expect(secondsUntil(0, 1_000)).toBe(0);
  });
});
