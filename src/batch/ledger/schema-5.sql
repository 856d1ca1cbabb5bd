-- When an instance stored its log, by S3's clock: the last that it did. EC2 has no time for those that power themselves off.
CREATE TABLE last_words (
    place INTEGER NOT NULL REFERENCES places,
    instance TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (place, instance)
) STRICT;

-- Instances whose way to S3 and SQS was a NAT gateway, which costs by the byte. Not here: no, or not known.
CREATE TABLE behind_nat (
    place INTEGER NOT NULL REFERENCES places,
    instance TEXT NOT NULL,
    PRIMARY KEY (place, instance)
) STRICT;
