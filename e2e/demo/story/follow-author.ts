import { createPool } from '@strangler/platform/mysql/pool.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import type { RowDataPacket } from 'mysql2/promise';
import type { Rig } from '../../soak/cutover/rig.ts';

const followsWithinMs = 30_000;

/** Renames an account in the monolith, and waits until the service has its author's new name. @returns whether it has come */
export const followAuthor = async ({ shop }: Rig): Promise<boolean> => {
  const monolith = createPool(shop.system.databases.shopUrl, { connectionLimit: 1 });
  const service = createPool(shop.system.databases.mover.catalogUrl, { connectionLimit: 1 });
  try {
    const [rows] = await service.query<RowDataPacket[]>('SELECT id FROM authors ORDER BY id LIMIT 1');
    const name = `Renamed ${Date.now()}`;
    await monolith.query('UPDATE accounts SET display_name = ? WHERE id = ?', [name, rows[0]?.id]);
    await eventually(
      async () => {
        const [found] = await service.query<RowDataPacket[]>('SELECT 1 FROM authors WHERE display_name = ?', [name]);
        return found.length > 0;
      },
      { withinMs: followsWithinMs },
    );
    return true;
  } catch {
    return false;
  } finally {
    await monolith.end();
    await service.end();
  }
};
