import { describe, expect, it } from 'vitest';
import type { Bbox } from '../api/types';
import { contains, covers, cropToView, outsideCount, padBbox, robustBounds } from './bbox';

describe('padBbox', () => {
  it('grows each side by the share', () => {
    expect(padBbox([10, 50, 12, 51], 0.25)).toEqual([9.5, 49.75, 12.5, 51.25]);
  });
  it('stays on the globe', () => {
    expect(padBbox([-179, -89, 179, 89], 0.5)).toEqual([-180, -90, 180, 90]);
  });
});

describe('contains and covers', () => {
  const city: Bbox = [11.8, 57.6, 12.1, 57.8];
  it('include the edge', () => {
    expect(contains(city, 11.8, 57.6)).toBe(true);
    expect(contains(city, 12.2, 57.7)).toBe(false);
    expect(covers(city, city)).toBe(true);
    expect(covers(city, [11.7, 57.6, 12.0, 57.7])).toBe(false);
  });
});

describe('cropToView', () => {
  const city: Bbox = [11.8, 57.6, 12.2, 57.8];
  it('leaves a city whole on a wide screen', () => {
    expect(cropToView(city, 1.6)).toEqual(city);
  });
  it('cuts its sides evenly on a tall one, and never to a slit', () => {
    const [west, south, east, north] = cropToView(city, 0.3);
    expect(east - west).toBeCloseTo(0.22);
    expect((west + east) / 2).toBeCloseTo(12);
    expect([south, north]).toEqual([57.6, 57.8]);
  });
});

describe('robustBounds', () => {
  it('leaves out strays', () => {
    const points = Array.from({ length: 100 }, (_, i) => ({
      longitude: -122 + i / 1000,
      latitude: 37 + i / 1000,
    }));
    points[50] = { longitude: 0, latitude: 0 };
    const [west, south, east, north] = robustBounds(points) as Bbox;
    expect(west).toBeLessThan(-121.9);
    expect(east).toBeLessThan(-121.8);
    expect(south).toBeGreaterThan(36.9);
    expect(north).toBeLessThan(37.2);
  });
  it('is null without points and a point for one', () => {
    expect(robustBounds([])).toBeNull();
    expect(robustBounds([{ longitude: 1, latitude: 2 }])).toEqual([1, 2, 1, 2]);
  });
});

describe('outsideCount', () => {
  const city: Bbox = [11.8, 57.6, 12.1, 57.8];
  const wide: Bbox = [11, 57, 13, 58];
  const street: Bbox = [11.9, 57.7, 11.91, 57.71];
  it('speaks up when the view is empty', () => {
    expect(outsideCount({ total: 503, inView: 0, view: street, city })).toBe(503);
  });
  it('speaks up when the whole city is in view and many are elsewhere', () => {
    expect(outsideCount({ total: 1003, inView: 500, view: wide, city })).toBe(503);
  });
  it('is silent about strays, and for one who looks at a street', () => {
    expect(outsideCount({ total: 503, inView: 500, view: wide, city })).toBe(0);
    expect(outsideCount({ total: 503, inView: 4, view: street, city })).toBe(0);
    expect(outsideCount({ total: 0, inView: 0, view: wide, city })).toBe(0);
  });
});
