import { faults } from '@strangler/catalog/faults/faults.ts';
import { plantedFaultPath } from '@strangler/catalog/faults/planted-faults.ts';
import type { Shop } from '../shop.ts';

/** What lets a fault be planted in the catalogue's instances while they run. */
export const faultyCatalogue = { catalog: { NODE_ENV: 'test', PLANTED_FAULT: 'none' } };

/** Makes all instances of the catalogue wrong in one way; null: none of them any more. */
export const plantFault = async ({ catalogInstances }: Shop, fault: string | null): Promise<void> => {
  for (const { url } of catalogInstances) {
    const answer = await fetch(new URL(plantedFaultPath, url), { method: 'PUT', body: JSON.stringify({ fault }) });
    if (!answer.ok) throw new Error(`expected ${fault} to be planted, got ${answer.status}: ${await answer.text()}`);
  }
};

/** What a bug report would say of a fault. */
export const faultText = (fault: string): string => faults[fault]!.says;
/** Whether a difference at this path shows the fault. */
export const isSeenAt = (fault: string, path: string): boolean => faults[fault]!.seenAt.test(path);
