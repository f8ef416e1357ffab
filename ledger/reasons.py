"""Why something was refused: one closed list, the same from `check`, admission and execution.

A reason is a stable code that clients may compare; its sentence is for people. Codes are only
ever added. `Invalid` carries one and means "theirs": bad input from a peer, a client or a file.
It never stops a node. A fault of this machine is an OSError or a plyvel error and does.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Stable codes of refusal."""

    # Bytes
    MALFORMED = "malformed"
    TRAILING_BYTES = "trailing_bytes"
    NON_CANONICAL = "non_canonical"
    TOO_LARGE = "too_large"
    UNSUPPORTED_VERSION = "unsupported_version"
    # Transactions, without state
    WRONG_CHAIN = "wrong_chain"
    BAD_AMOUNT = "bad_amount"
    DUPLICATE_INPUT = "duplicate_input"
    NO_EFFECT = "no_effect"
    MEMO_TOO_LONG = "memo_too_long"
    UNKNOWN_OPERATION = "unknown_operation"
    BAD_LOCK = "bad_lock"
    UNBALANCED = "unbalanced"
    FEE_TOO_LOW = "fee_too_low"
    FEE_NOT_ALLOWED = "fee_not_allowed"
    BAD_KEY = "bad_key"
    BAD_SIGNATURE = "bad_signature"
    MISSING_SIGNATURE = "missing_signature"
    SPARE_SIGNATURE = "spare_signature"
    MISSING_PREIMAGE = "missing_preimage"
    SPARE_PREIMAGE = "spare_preimage"
    WITNESS_ORDER = "witness_order"
    SPARE_CONDITION = "spare_condition"
    # Transactions, against state
    EXPIRED = "expired"
    EXPIRES_TOO_LATE = "expires_too_late"
    UNKNOWN_INPUT = "unknown_input"
    SPENT_INPUT = "spent_input"
    INPUT_MISMATCH = "input_mismatch"
    MISSING_CONDITION = "missing_condition"
    NOT_YET = "not_yet"
    TOO_LATE = "too_late"
    DOUBLE_SPEND = "double_spend"
    UNKNOWN_ISSUER = "unknown_issuer"
    UNKNOWN_ASSET = "unknown_asset"
    LICENCE_INACTIVE = "licence_inactive"
    WRONG_ROLE_KEY = "wrong_role_key"
    REPLAYED_OPERATION = "replayed_operation"
    OPERATION_GAP = "operation_gap"
    ABOVE_HEADROOM = "above_headroom"
    # Licences, validators, epochs
    NOT_ALONE = "not_alone"
    NEEDS_QUORUM = "needs_quorum"
    BAD_GRANT = "bad_grant"
    UNKNOWN_LICENCE = "unknown_licence"
    WRONG_VERSION = "wrong_version"
    HAS_SEAT = "has_seat"
    NO_SEAT = "no_seat"
    WRONG_EPOCH = "wrong_epoch"
    NO_CONFLICT = "no_conflict"
    BAD_ROLE = "bad_role"
    NOT_FIRST = "not_first"
    # Capacity, attestation, challenges, audits
    UNKNOWN_ATTESTOR = "unknown_attestor"
    UNKNOWN_COMMITMENT = "unknown_commitment"
    UNKNOWN_CLASS = "unknown_class"
    BAD_SCHEDULE = "bad_schedule"
    OVERLAPPING_SCHEDULE = "overlapping_schedule"
    COMMITMENT_EXISTS = "commitment_exists"
    COMMITMENT_OVER = "commitment_over"
    ABOVE_COMMITMENT = "above_commitment"
    DEVICE_PLEDGED = "device_pledged"
    UNKNOWN_DEVICE = "unknown_device"
    TOO_MANY = "too_many"
    ALREADY_CONTESTED = "already_contested"
    UNKNOWN_CHALLENGE = "unknown_challenge"
    LOW_DEPOSIT = "low_deposit"
    NOT_ON_PANEL = "not_on_panel"
    NO_PANEL = "no_panel"
    BAD_PERIOD = "bad_period"
    BAD_NONCE = "bad_nonce"
    NOT_DRAWN = "not_drawn"
    # Minting, bonds
    NOT_HEALTHY = "not_healthy"
    MINT_FROZEN = "mint_frozen"
    LOW_DELIVERABILITY = "low_deliverability"
    ABOVE_MINT_CAP = "above_mint_cap"
    OWN_COIN = "own_coin"
    SHORT_BOND = "short_bond"
    # Redemption
    UNKNOWN_REDEMPTION = "unknown_redemption"
    REDEMPTION_EXISTS = "redemption_exists"
    WRONG_STATE = "wrong_state"
    LOW_AMOUNT = "low_amount"
    BAD_WINDOW = "bad_window"
    NO_FREE_HOURS = "no_free_hours"
    BAD_ENDPOINT = "bad_endpoint"
    BAD_RECEIPT = "bad_receipt"
    STALE_RECEIPT = "stale_receipt"
    ABOVE_ORDER = "above_order"
    UNKNOWN_DISPUTE = "unknown_dispute"
    # Compliance
    FROZEN = "frozen"
    NO_EXPIRY = "no_expiry"
    BAD_ORDER = "bad_order"
    UNKNOWN_ORDER = "unknown_order"
    # Steps of the standard
    BAD_STANDARD = "bad_standard"
    REFERENCE_FALLS = "reference_falls"
    CUT_TOO_LARGE = "cut_too_large"
    STEP_OPEN = "step_open"
    NO_STEP = "no_step"
    # Mempool and node
    MEMPOOL_FULL = "mempool_full"
    SENDER_QUOTA = "sender_quota"
    FREE_QUOTA = "free_quota"
    TROUBLED_FEE = "troubled_fee"
    ALREADY_KNOWN = "already_known"
    ALREADY_FINAL = "already_final"
    LOW_DISK_SPACE = "low_disk_space"
    # Blocks, certificates, genesis
    BAD_HEADER = "bad_header"
    BAD_BODY = "bad_body"
    BAD_STATE_ROOT = "bad_state_root"
    BREAKS_INVARIANT = "breaks_invariant"
    BAD_CERTIFICATE = "bad_certificate"
    BAD_PROOF = "bad_proof"
    BAD_GENESIS = "bad_genesis"
    BAD_ADDRESS = "bad_address"


class Invalid(Exception):
    """Input that is refused; `reason` is for machines, `detail` for people.

    `detail` names the offending value and never holds a secret.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail
