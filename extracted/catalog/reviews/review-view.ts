/** A row of `reviews`, as the driver gives it. */
export type ReviewRow = {
  id: number;
  product_id: number;
  author_id: number;
  author_name: string;
  rating: number;
  title: string;
  body: string;
  created_at: Date;
};

/** The columns of `ReviewRow`, for a SELECT. */
export const reviewColumns = 'id, product_id, author_id, author_name, rating, title, body, created_at';

/** A review as the API shows it. */
export type ReviewView = {
  id: number;
  product_id: number;
  rating: number;
  title: string;
  body: string;
  author: { id: number; display_name: string };
  created_at: string;
};

export function reviewView(row: ReviewRow): ReviewView {
  return {
    id: Number(row.id),
    product_id: Number(row.product_id),
    rating: row.rating,
    title: row.title,
    body: row.body,
    author: { id: Number(row.author_id), display_name: row.author_name },
    created_at: row.created_at.toISOString(),
  };
}
