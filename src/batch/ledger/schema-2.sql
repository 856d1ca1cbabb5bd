-- A dead letter that is sent again makes its job outstanding; failures told up to this time (Service-Write) are
-- of the try before.
ALTER TABLE jobs ADD COLUMN redriven INTEGER;
