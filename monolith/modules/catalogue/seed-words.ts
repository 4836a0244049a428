/** What the seeded shop sells: eight roots of five categories each, with the nouns and the middle price of each. */
export type SeedCategory = { name: string; slug: string; nouns: readonly string[]; middleCents: number };
export type SeedRoot = { name: string; slug: string; children: readonly SeedCategory[] };

const category = (name: string, middleCents: number, ...nouns: string[]): SeedCategory => ({
  name,
  slug: name
    .toLowerCase()
    .normalize('NFD')
    .replace(/\p{Mark}/gu, '')
    .replaceAll('&', 'and')
    .replace(/[^a-z0-9]+/g, '-'),
  nouns,
  middleCents,
});

const root = (name: string, ...children: SeedCategory[]): SeedRoot => ({
  name,
  slug: category(name, 0).slug,
  children,
});

export const seedRoots: readonly SeedRoot[] = [
  root(
    'Kitchen',
    category('Cookware', 4900, 'Frying Pan', 'Saucepan', 'Wok', 'Casserole'),
    category('Knives', 5900, 'Chef Knife', 'Paring Knife', 'Bread Knife', 'Sharpener'),
    category('Tableware', 1900, 'Mug', 'Bowl', 'Plate', 'Carafe'),
    category('Coffee & Tea', 3900, 'Teapot', 'Café Press', 'Kettle', 'Grinder'),
    category('Storage', 1500, 'Jar', 'Lunch Box', 'Bread Bin', 'Spice Rack'),
  ),
  root(
    'Garden',
    category('Hand Tools', 2500, 'Spade', 'Trowel', 'Rake', 'Secateurs'),
    category('Watering', 2900, 'Hose', 'Watering Can', 'Sprinkler', 'Rain Barrel'),
    category('Pots', 1800, 'Planter', 'Flower Pot', 'Window Box', 'Saucer'),
    category('Outdoor Light', 3500, 'Lantern', 'Path Light', 'String Light', 'Torch'),
    category('Seeds', 400, 'Tomato Seeds', 'Herb Mix', 'Sunflower Seeds', 'Meadow Mix'),
  ),
  root(
    'Home',
    category('Lighting', 6900, 'Desk Lamp', 'Floor Lamp', 'Pendant', 'Night Light'),
    category('Textiles', 3900, 'Blanket', 'Cushion', 'Towel', 'Curtain'),
    category('Décor', 2900, 'Vase', 'Picture Frame', 'Mirror', 'Candle'),
    category('Furniture', 19900, 'Stool', 'Side Table', 'Shelf', 'Bench'),
    category('Cleaning', 1200, 'Brush', 'Bucket', 'Soap', 'Broom'),
  ),
  root(
    'Office',
    category('Writing', 900, 'Fountain Pen', 'Pencil Set', 'Marker', 'Notebook'),
    category('Desk', 2900, 'Organiser', 'Monitor Stand', 'Desk Mat', 'Drawer Unit'),
    category('Paper', 800, 'Sketchbook', 'Envelope Set', 'Planner', 'Card Stock'),
    category('Filing', 1900, 'Folder', 'Box File', 'Label Maker', 'Tray'),
    category('Chairs', 24900, 'Task Chair', 'Footrest', 'Kneeling Chair', 'Seat Cushion'),
  ),
  root(
    'Sport',
    category('Cycling', 4900, 'Helmet', 'Pannier', 'Bell', 'Pump'),
    category('Running', 5900, 'Belt', 'Head Torch', 'Bottle', 'Socks'),
    category('Swimming', 2500, 'Goggles', 'Cap', 'Float', 'Fins'),
    category('Climbing', 8900, 'Harness', 'Chalk Bag', 'Rope', 'Carabiner'),
    category('Yoga', 3500, 'Mat', 'Block', 'Strap', 'Bolster'),
  ),
  root(
    'Toys',
    category('Building', 3900, 'Block Set', 'Marble Run', 'Train Set', 'Crane'),
    category('Puzzles', 1900, 'Jigsaw', 'Cube', 'Tangram', 'Labyrinth'),
    category('Board Games', 2900, 'Strategy Game', 'Card Game', 'Dice Game', 'Chess Set'),
    category('Plush', 1700, 'Bear', 'Rabbit', 'Fox', 'Whale'),
    category('Craft', 1400, 'Loom', 'Paint Set', 'Clay', 'Bead Kit'),
  ),
  root(
    'Electronics',
    category('Audio', 9900, 'Headphones', 'Speaker', 'Turntable', 'Microphone'),
    category('Cables', 1200, 'Charging Cable', 'Adapter', 'Extension Lead', 'Hub'),
    category('Clocks', 3900, 'Alarm Clock', 'Wall Clock', 'Timer', 'Weather Station'),
    category('Photo', 14900, 'Tripod', 'Camera Bag', 'Instant Camera', 'Light Panel'),
    category('Power', 4900, 'Power Bank', 'Solar Panel', 'Charger', 'Battery Set'),
  ),
  root(
    'Travel',
    category('Bags', 8900, 'Backpack', 'Duffel', 'Tote', 'Suitcase'),
    category('Camping', 6900, 'Tent', 'Sleeping Mat', 'Camp Stove', 'Hammock'),
    category('Navigation', 2900, 'Compass', 'Map Case', 'Whistle', 'Altimeter'),
    category('Comfort', 1900, 'Neck Pillow', 'Eye Mask', 'Travel Mug', 'Blanket Scarf'),
    category('Organisers', 1500, 'Packing Cube', 'Wash Bag', 'Passport Case', 'Shoe Bag'),
  ),
];

export const adjectives = [
  'Nordic',
  'Rustic',
  'Compact',
  'Heavy',
  'Light',
  'Classic',
  'Modern',
  'Quiet',
  'Bright',
  'Folding',
  'Little',
  'Grand',
  'Déco',
  'Everyday',
  'Rapid',
  'Señor',
] as const;

export const materials = [
  'Oak',
  'Steel',
  'Copper',
  'Linen',
  'Wool',
  'Glass',
  'Bamboo',
  'Cork',
  'Enamel',
  'Stoneware',
  'Aluminium',
  'Recycled',
] as const;

export const colours = ['black', 'white', 'red', 'green', 'blue', 'natural', 'grey', 'yellow'] as const;

export const sentences = [
  'Made to be used every day and repaired when it breaks.',
  'Comes with a guarantee of ten years.',
  'Designed in a small workshop by the sea.',
  'Spare parts are kept in stock.',
  'Packed without plastic.',
  'Our customers’ favourite for the third year.',
  'Pairs well with the rest of the range.',
  'Easy to clean.',
  'Sold in ones and in sets.',
  'Tested by people who use it for a living.',
] as const;

export const praise = [
  'Exactly right',
  'Would buy again',
  'A joy to use',
  'Très bien',
  'Better than expected',
] as const;
export const shrugs = ['It is all right', 'Does what it says', 'Neither here nor there', 'Good, not great'] as const;
export const complaints = ['Broke in a week', 'Not as pictured', 'Sent it back', 'Too small', 'Disappointed'] as const;

export const opinions = [
  'Bought it for my sister, kept it for myself.',
  'The colour is a little darker than on the screen.',
  'It arrived on the next day.',
  'After a month of use there is nothing to complain about.',
  'The handle could be longer.',
  'I had another one before and this is the better one.',
  'Instructions were missing, but one finds out.',
  'Everybody asks me where I got it.',
] as const;
