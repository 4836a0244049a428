import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import { type CellCounts, cleanOutcomes, type StatusClass } from '@strangler/platform/shadow-report/entry.ts';
import { type ApiOperation, operationOf } from '../openapi/operation.ts';

/** Who asks: anybody; nobody in particular; somebody who is signed in, of whatever role. */
export type WantedRole = 'any' | 'anonymous' | 'signed in';

/** Answers of one kind that a comparison must have seen, so that nobody is the first to see them. */
export type WantedCell = { endpoint: string; access: 'read' | 'write'; statusClass: StatusClass; role: WantedRole };

export type Coverage = WantedCell & {
  /** Comparisons without a difference. */
  clean: number;
  /** Comparisons of any outcome. */
  seen: number;
};

/**
 * The cells that a slice's routes are made of: with an OpenAPI description each class of status that it names, for those who
 * may ask; without one, each route's success. Writes count where they are compared.
 */
export const wantedCells = (
  { routes, shadow }: Pick<Slice, 'routes' | 'shadow'>,
  operations: readonly ApiOperation[],
): WantedCell[] =>
  routes
    .filter(({ access }) => access === 'read' || shadow?.writes === 'dry-run')
    .flatMap((route) => {
      const { method, path, access } = route;
      const endpoint = `${method} ${path}`;
      const operation = operationOf(operations, route);
      if (operation === undefined) return [{ endpoint, access, statusClass: '2xx', role: 'any' } as const];
      return operation.statusClasses.flatMap((statusClass) =>
        rolesOf(operation, statusClass).map((role): WantedCell => ({ endpoint, access, statusClass, role })),
      );
    });

const rolesOf = ({ signedIn }: ApiOperation, statusClass: StatusClass): WantedRole[] => {
  if (statusClass === '4xx' || signedIn === 'never') return ['any'];
  return signedIn === 'must' ? ['signed in'] : ['anonymous', 'signed in'];
};

/** How far each wanted cell is covered by what was compared. */
export const coverageOf = (wanted: readonly WantedCell[], cells: readonly CellCounts[]): Coverage[] =>
  wanted.map((cell) => {
    const fitting = cells.filter(
      ({ endpoint, statusClass, role }) =>
        endpoint === cell.endpoint && statusClass === cell.statusClass && fitsRole(cell.role, role),
    );
    const sum = (count: (one: CellCounts) => number): number => fitting.reduce((total, one) => total + count(one), 0);
    return {
      ...cell,
      clean: sum(({ outcomes }) => cleanOutcomes.reduce((total, outcome) => total + (outcomes[outcome] ?? 0), 0)),
      seen: sum(({ outcomes }) => Object.values(outcomes).reduce((total, count) => total + count, 0)),
    };
  });

const fitsRole = (wanted: WantedRole, role: string): boolean =>
  wanted === 'any' || (role === 'anonymous') === (wanted === 'anonymous');

/** A cell as people read it: `GET /api/orders 2xx signed in`. */
export const nameCell = ({ endpoint, statusClass, role }: WantedCell): string =>
  `${endpoint} ${statusClass}${role === 'any' ? '' : ` ${role}`}`;
