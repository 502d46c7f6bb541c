import { describe, expect, it } from '@jest/globals';
import { parseMessage } from '../../api/message.ts';
import { deliveryMessage, loadDeliveries } from './deliveries.ts';

const deliveries = loadDeliveries();

describe('loadDeliveries()', () => {
  it('reads all 329 deliveries of 58 events, each under an id of its own', () => {
    expect(deliveries).toHaveLength(329);
    expect(new Set(deliveries.map(({ event }) => event)).size).toBe(58);
    expect(new Set(deliveries.map(({ id }) => id)).size).toBe(329);
  });
});

describe('deliveryMessage()', () => {
  it('makes messages that pass the checks of ingestion', () => {
    for (const delivery of deliveries) {
      const message = deliveryMessage(delivery);
      expect(parseMessage(JSON.stringify(message))).toEqual(message);
    }
  });

  it('adds to the payload and overwrites nothing of it', () => {
    for (const delivery of deliveries) {
      const { event_type: eventType, delivery: about, ...payload } = deliveryMessage(delivery);
      expect(payload).toEqual(delivery.payload);
      expect(eventType).toBe(`github.${delivery.event}`);
      expect(about.id).toBe(delivery.id);
    }
  });

  it('gives every round ids of its own', () => {
    const ids = [0, 1, 2].flatMap((round) =>
      deliveries.map((delivery) => deliveryMessage(delivery, round).delivery.id),
    );
    expect(new Set(ids).size).toBe(3 * 329);
  });
});
