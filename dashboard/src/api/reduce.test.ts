import { describe, expect, it } from 'vitest';
import { encodeSubscribe, parseMessage } from './messages';
import { reduce } from './reduce';

interface Item {
  id: string;
  timestamp: string;
  value?: number;
}

const at = (second: number) => `2026-01-01T00:00:${String(second).padStart(2, '0')}Z`;
const idOf = (item: Item) => item.id;
const held = (...items: Item[]) => new Map(items.map((item) => [item.id, item]));

describe('a snapshot', () => {
  it('replaces everything and names what is gone', () => {
    const items = held({ id: 'a', timestamp: at(1) }, { id: 'b', timestamp: at(1) });
    const change = reduce(items, idOf, {
      type: 'snapshot',
      id: 'vehicles',
      data: [
        { id: 'b', timestamp: at(2) },
        { id: 'c', timestamp: at(2) },
      ],
    });
    expect([...items.keys()].sort()).toEqual(['b', 'c']);
    expect(change).toMatchObject({ replaced: true, removed: ['a'] });
    expect(change.upserted.map(idOf)).toEqual(['b', 'c']);
  });

  it('may go back in time: a recording was started again', () => {
    const items = held({ id: 'a', timestamp: at(30) });
    reduce(items, idOf, { type: 'snapshot', id: 'v', data: [{ id: 'a', timestamp: at(1) }] });
    expect(items.get('a')?.timestamp).toBe(at(1));
  });
});

describe('an update', () => {
  it('changes only what it names', () => {
    const items = held({ id: 'a', timestamp: at(1) }, { id: 'b', timestamp: at(1) });
    const change = reduce(items, idOf, {
      type: 'update',
      id: 'v',
      data: [{ id: 'a', timestamp: at(2), value: 7 }],
      removed: ['b', 'never-seen'],
    });
    expect([...items.values()]).toEqual([{ id: 'a', timestamp: at(2), value: 7 }]);
    expect(change.removed).toEqual(['b']);
  });

  it('does not move an item back in time, whatever the form of the time', () => {
    const items = held({ id: 'a', timestamp: at(30) });
    for (const timestamp of [at(29), '2026-01-01T00:00:29', '2026-01-01T01:00:29+01:00']) {
      const change = reduce(items, idOf, {
        type: 'update',
        id: 'v',
        data: [{ id: 'a', timestamp }],
        removed: [],
      });
      expect(change.upserted).toEqual([]);
    }
    expect(items.get('a')?.timestamp).toBe(at(30));
  });

  it('skips what has no id', () => {
    const items = held();
    reduce(items, (item: Item) => item.id, {
      type: 'update',
      id: 'v',
      data: [{ timestamp: at(1) }],
      removed: [],
    });
    expect(items.size).toBe(0);
  });
});

describe('parseMessage', () => {
  it('reads the frames of the wire', () => {
    expect(parseMessage('{"type":"snapshot","id":"a","data":[1],"resume":"t1"}')).toEqual({
      type: 'snapshot',
      id: 'a',
      data: [1],
      resume: 't1',
    });
    expect(parseMessage('{"type":"update","id":"a","removed":[7]}')).toMatchObject({
      data: [],
      removed: ['7'],
    });
    expect(parseMessage('{"type":"error","detail":"bad bbox"}')).toEqual({
      type: 'error',
      id: undefined,
      detail: 'bad bbox',
    });
  });

  it('takes a lone object for a list of one', () => {
    expect(parseMessage('{"type":"update","id":"city","data":{"total_vehicles":1}}')).toMatchObject({
      data: [{ total_vehicles: 1 }],
    });
  });

  it('lets unknown types pass and refuses what is no object', () => {
    expect(parseMessage('{"type":"tomorrow"}')).toEqual({ type: 'other' });
    expect(parseMessage('[]')).toBeNull();
    expect(parseMessage('not json')).toBeNull();
  });
});

describe('encodeSubscribe', () => {
  it('writes the message of the wire', () => {
    expect(
      JSON.parse(encodeSubscribe({ id: 'v', channel: 'vehicles', bbox: [1, 2, 3, 4], max_hz: 2 })),
    ).toEqual({
      type: 'subscribe',
      format: 'json',
      id: 'v',
      channel: 'vehicles',
      bbox: [1, 2, 3, 4],
      max_hz: 2,
    });
  });
});
